// Gradient descent: the kernel at one step beside the hidden one, the cost of all steps, and the output over the target.
({ state, answer, width, h, number, set, data }) => {
  const { step } = state;
  const { costs, target } = answer;
  const kernel = answer.kernels[step];
  const output = answer.outputs[step];
  const steps = costs.length - 1;
  const narrow = width < 560;
  const middle = { "text-anchor": "middle" };
  const isNumber = (value) => typeof value === "number";
  const heading = (text, x, y) => h("text", { x, y, "font-weight": 600 }, text);
  const line = (x1, y1, x2, y2, more) => h("line", { x1, y1, x2, y2, stroke: "var(--pset4-line)", ...more });
  // A value beyond the end of its axis stands there as an arrowhead.
  const fit = (value, limit) => Math.max(-limit, Math.min(limit, isNumber(value) ? value : 0));
  const beyond = (value, limit) => !isNumber(value) || Math.abs(value) > limit;
  const arrow = (x, y, up) => h("path", { d: up ? `M${x - 6},${y}h12l-6,-9z` : `M${x - 6},${y}h12l-6,9z`, fill: "var(--pset4-ink)" });
  const diamond = (x, y) => h("path", { d: `M${x - 6},${y}l6,-6l6,6l-6,6z`, fill: "none", stroke: "var(--pset4-ink)", "stroke-width": 1.8 });

  const kernelPanel = (x0, y0, w) => {
    const reach = (kernel.length - 1) / 2;
    const each = Math.min(56, w / kernel.length);
    const unit = 50;
    const zero = y0 + 92;
    return [
      heading("kernel", x0, y0 + 12), diamond(x0 + 62, y0 + 8), h("text", { x: x0 + 73, y: y0 + 12, class: "pset4-faint" }, "hidden kernel"),
      line(x0, zero, x0 + kernel.length * each, zero),
      kernel.map((value, i) => {
        const at = x0 + (i + 0.5) * each;
        const shown = fit(value, 1.3);
        return [
          h("rect", { x: at - each * 0.3, width: each * 0.6, y: Math.min(zero, zero - shown * unit), height: Math.max(1.5, Math.abs(shown) * unit), fill: "var(--pset4-blue)" }),
          beyond(value, 1.3) && arrow(at, zero - shown * unit, value > 0 || value === "inf"),
          diamond(at, zero - data.hidden[i] * unit),
          h("text", { x: at, y: zero + 88, ...middle, class: "pset4-faint" }, `W[${i - reach}]`.replace("-", "−")),
          h("text", { x: at, y: zero + 104, ...middle }, isNumber(value) ? number(value, Math.abs(value) < 1e4 ? 2 : 1) : "—"),
        ];
      }),
    ];
  };

  const costPanel = (x0, y0, w) => {
    const [x1, x2, top, bottom] = [x0 + 52, x0 + w - 10, y0 + 28, y0 + 172];
    const powers = costs.filter(isNumber).map((cost) => Math.log10(Math.max(cost, 1e-9)));
    const low = Math.min(-1, Math.floor(Math.min(...powers)));
    const high = Math.max(1, Math.ceil(Math.max(...powers)));
    const every = Math.ceil((high - low) / 5);
    const ticks = Array.from({ length: Math.floor((high - low) / every) + 1 }, (_, i) => low + i * every);
    const x = (s) => x1 + ((x2 - x1) * s) / steps;
    const y = (cost) => bottom - ((bottom - top) * (Math.log10(Math.max(cost, 1e-9)) - low)) / (high - low);
    const points = costs.map((cost, s) => isNumber(cost) && `${x(s)},${y(cost).toFixed(1)}`).filter(Boolean);
    const put = (event) => {
      const box = event.currentTarget.ownerSVGElement.getBoundingClientRect();
      set({ step: Math.max(0, Math.min(steps, Math.round(((event.clientX - box.left - x1) / (x2 - x1)) * steps))) });
    };
    return [
      heading("cost", x0, y0 + 12), h("text", { x: x0 + 32, y: y0 + 12, class: "pset4-faint" }, "(log scale)"),
      ticks.map((power) => [line(x1, y(10 ** power), x2, y(10 ** power), { "stroke-opacity": 0.45 }),
        h("text", { x: x1 - 6, y: y(10 ** power) + 4, "text-anchor": "end", class: "pset4-faint" },
          Math.abs(power) <= 3 ? String(10 ** power) : ["10", h("tspan", { dy: -5, "font-size": 9 }, String(power).replace("-", "−"))])]),
      [0, steps / 2, steps].map((s) => h("text", { x: x(s), y: bottom + 18, ...middle, class: "pset4-faint" }, String(Math.round(s)))),
      h("text", { x: (x1 + x2) / 2, y: bottom + 34, ...middle, class: "pset4-faint" }, "step"),
      h("polyline", { points: points.join(" "), fill: "none", stroke: "var(--pset4-orange)", "stroke-width": 2.5, "stroke-linejoin": "round" }),
      points.length < costs.length && h("text", { x: x(points.length), y: top + 4, "font-weight": 700 }, "✗ no number"),
      line(x(step), top - 6, x(step), bottom + 4, { stroke: "var(--pset4-ink)", "stroke-dasharray": "3 3" }),
      isNumber(costs[step]) && h("circle", { cx: x(step), cy: y(costs[step]), r: 6, class: "pset4-knob" }),
      h("rect", { x: x1 - 8, y: top - 8, width: x2 - x1 + 16, height: bottom - top + 16, fill: "transparent", style: "cursor:ew-resize;touch-action:none",
        onpointerdown: (event) => { event.preventDefault(); event.currentTarget.setPointerCapture(event.pointerId); put(event); },
        onpointermove: (event) => event.buttons && put(event) }),
    ];
  };

  const outputPanel = (x0, y0, w) => {
    const limit = 1.25 * Math.max(...target.map(Math.abs));
    const [x1, x2, zero, unit] = [x0 + 12, x0 + w - 12, y0 + 88, 62 / limit];
    const x = (n) => x1 + ((x2 - x1) * n) / (target.length - 1);
    const y = (value) => zero - fit(value, limit) * unit;
    return [
      heading("output", x0, y0 + 12),
      h("path", { d: `M${x0 + 52},${y0 + 8}h26`, stroke: "var(--pset4-green)", "stroke-width": 2.5 }),
      h("circle", { cx: x0 + 104, cy: y0 + 8, r: 5, fill: "none", stroke: "var(--pset4-ink)", "stroke-width": 1.5 }), h("text", { x: x0 + 115, y: y0 + 12, class: "pset4-faint" }, "target"),
      line(x1 - 8, zero, x2 + 8, zero),
      target.map((value, n) => line(x(n), y(value), x(n), y(output[n]), { stroke: "var(--pset4-orange)", "stroke-width": 2, "stroke-opacity": 0.75 })),
      h("polyline", { points: output.map((value, n) => `${x(n)},${y(value).toFixed(1)}`).join(" "), fill: "none", stroke: "var(--pset4-green)", "stroke-width": 2.5, "stroke-linejoin": "round" }),
      target.map((value, n) => h("circle", { cx: x(n), cy: y(value), r: 5, fill: "none", stroke: "var(--pset4-ink)", "stroke-width": 1.5 })),
      output.map((value, n) => beyond(value, limit) && arrow(x(n), y(value), !(value < 0 || value === "-inf"))),
      h("text", { x: (x1 + x2) / 2, y: zero + 84, ...middle, class: "pset4-faint" }, "position n; between output and target: the error"),
    ];
  };

  const kernelWidth = narrow ? width : Math.min(290, width * 0.36);
  const height = narrow ? 610 : 400;
  return h("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "Kernel, cost and output at one step" },
    h("g", { key: "kernel" }, kernelPanel(4, 4, kernelWidth - 16)),
    h("g", { key: "cost" }, narrow ? costPanel(4, 214, width - 8) : costPanel(kernelWidth + 8, 4, width - kernelWidth - 12)),
    h("g", { key: "output" }, outputPanel(4, narrow ? 432 : 222, width - 8)));
}
