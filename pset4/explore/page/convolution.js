// One output of a convolution: the signal, the weights that the student's function gives it, the products, their sum.
({ state, answer, answered, width, bar, h, number, set, controls }) => {
  const { x_in, kernel } = state;
  const reach = (kernel.length - 1) / 2;
  const N = x_in.length;
  const left = width < 500 ? 62 : 96;
  const column = Math.min(64, (width - left - 8) / (N + 2 * reach));
  const x = (j) => left + (j + reach + 0.5) * column; // the middle of position j
  const unit = 13; // pixels per 1
  const middle = { "text-anchor": "middle" };
  const n = answered.n;
  const positions = Array.from({ length: N + 2 * reach }, (_, i) => i - reach);
  const inside = (j) => j >= 0 && j < N;
  const near = (j) => Math.abs(j - n) <= reach;
  const top = { kernel: 48, x_in: 160, weights: 256, products: 286, out: 356 };

  const name = (text, y) => h("text", { x: 2, y, class: "pset4-faint" }, text);
  const zero = (y, from, to) => h("line", { x1: from, x2: to, y1: y, y2: y, stroke: "var(--pset4-line)" });
  const cell = (text, j, y, framed) => [
    h("rect", { x: x(j) - column / 2 + 1, y: y - 15, width: column - 2, height: 22, rx: 3, fill: framed ? "var(--pset4-blue)" : "none",
      "fill-opacity": 0.12, stroke: framed ? "var(--pset4-blue)" : "var(--pset4-line)", "stroke-opacity": framed ? 1 : 0.4 }),
    h("text", { x: x(j), y, ...middle }, text),
  ];
  const kernelColumn = Math.max(column, Math.min(88, (width - left) / kernel.length));
  const kernelX = (m) => left + (m + 0.5) * kernelColumn;

  return h("svg", { width, height: 440, viewBox: `0 0 ${width} 440`, role: "group", "aria-label": "Signal, kernel and one output" },
    h("defs", {}, h("pattern", { id: "pset4-padding", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      h("line", { x1: 0, y1: 0, x2: 0, y2: 6, stroke: "var(--pset4-line)", "stroke-width": 2 }))),
    name("kernel", top.kernel + 4), zero(top.kernel, left, kernelX(kernel.length - 0.5)),
    kernel.map((value, m) => [
      bar("kernel", m, { x: kernelX(m), y0: top.kernel, width: 40, unit, label: `kernel[${m}], which is W[${m - reach}]`, fill: "var(--pset4-orange)" }),
      h("text", { x: kernelX(m), y: top.kernel + 56, ...middle }, `W[${m - reach}] = ${number(value)}`.replace("-", "−")),
    ]),
    name("x_in", top.x_in + 4), zero(top.x_in, left, x(N + reach) - column / 2),
    positions.map((j) => inside(j)
      ? bar("x_in", j, { x: x(j), y0: top.x_in, width: Math.min(column - 4, 40), unit, label: `x_in[${j}]` })
      : h("rect", { x: x(j) - column / 2 + 2, y: top.x_in - 20, width: column - 4, height: 40, fill: "url(#pset4-padding)", stroke: "var(--pset4-line)", "stroke-dasharray": "3 3" })),
    positions.map((j) => h("text", { x: x(j), y: top.x_in + 56, ...middle, "font-weight": near(j) ? 700 : 400 }, inside(j) ? number(x_in[j]) : "0")),
    name(width < 500 ? "weight" : "times weight", top.weights),
    positions.map((j, i) => (near(j) || answer.weights[i] !== 0) && cell(number(answer.weights[i]), j, top.weights, true)),
    positions.map((j, i) => answer.names[i] && column >= 36 && h("text", { x: x(j), y: top.weights - 19, ...middle, class: "pset4-faint", "font-size": 11 }, answer.names[i].replace("-", "−"))),
    name("product", top.products),
    positions.map((j, i) => (near(j) || answer.weights[i] !== 0) && cell(number(answer.products[i]), j, top.products, false)),
    name("x_out", top.out + 4), zero(top.out, left, x(N + reach) - column / 2),
    answer.output.map((value, j) => {
      const shownValue = typeof value === "number" ? Math.max(-4.5, Math.min(4.5, value * answer.scale)) : 0;
      return [
        h("g", { key: `out${j}`, class: "pset4-pick", style: "cursor:pointer", onclick: () => set({ n: j }) },
          h("rect", { x: x(j) - column / 2 + 1, y: top.out - 46, width: column - 2, height: 110, class: "pset4-track" }),
          h("rect", { x: x(j) - column * 0.3, y: Math.min(top.out, top.out - shownValue * 9), width: column * 0.6, height: Math.max(1.5, Math.abs(shownValue) * 9),
            fill: "var(--pset4-green)", stroke: j === n ? "var(--pset4-ink)" : "none", "stroke-width": 2.5 }),
          answer.correlation && h("circle", { cx: x(j), cy: top.out - answer.correlation[j] * answer.scale * 9, r: 4.5, fill: "none", stroke: "var(--pset4-orange)", "stroke-width": 2 })),
        h("text", { x: x(j), y: top.out + 58, ...middle, "font-weight": j === n ? 700 : 400 }, number(value)),
      ];
    }),
    h("text", { x: x(n), y: top.out + 58 + 14, ...middle }, "▲"),
  );
}
