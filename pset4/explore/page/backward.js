// A layer backwards: grad_out, the route of each share, the inputs, what arrives there, and three ways to compute it.
({ state, answer, width, bar, h, number, set, data }) => {
  const { x_in, grad_out, kernel, follow } = state;
  const { weights, sent, yours, together } = answer;
  const N = x_in.length;
  const left = width < 500 ? 68 : 118;
  const column = Math.min(100, Math.floor((width - left - 4) / (N + (data.ties ? 1 : 0))));
  const x = (j) => left + (j + 0.5) * column; // the middle of input j
  const xOut = (m) => x(m + (data.first + data.last) / 2); // an output stands above the middle of its window
  const unit = 11; // pixels per 1
  const tall = 3 * unit;
  const middle = { "text-anchor": "middle" };
  const top = { kernel: tall + 8, grad_out: (kernel ? 118 : 0) + tall + 8 };
  top.routes = top.grad_out + tall + 18;
  top.x_in = top.routes + 120 + tall;
  top.yours = top.x_in + 2 * tall + 36;
  const height = top.yours + tall + 8;
  const end = left + N * column;
  const largest = Math.max(3, ...yours.map((value) => (typeof value === "number" ? Math.abs(value) : 0)));
  const strongest = Math.max(3, ...sent.flat().map((value) => (typeof value === "number" ? Math.abs(value) : 0)));
  const wide = Math.min(column - 6, 40);
  const box = Math.min(36, column * 0.75); // round the number of a route

  const name = (text, y) => h("text", { x: 2, y, class: "pset4-faint" }, text);
  const zero = (y) => h("line", { x1: left, x2: end, y1: y, y2: y, stroke: "var(--pset4-line)" });
  const chosen = (m, j) => follow === "all" || follow === `grad_out[${m}]` || follow === `x_in[${j}]`;
  const followed = (key) => ({ onfocusin: () => set({ follow: key }), key: `of-${key}` });
  const followedOutput = grad_out.findIndex((_, m) => follow === `grad_out[${m}]`);

  const route = (m, j) => {
    const share = sent[m][j];
    const [x1, y1, x2, y2] = [xOut(m), top.routes, x(j), top.x_in - tall - 6];
    const bend = (y2 - y1) * 0.5;
    const lit = chosen(m, j);
    // The point of the curve where its number stands: near the end at which routes lie apart.
    const t = followedOutput < 0 ? 0.26 : 0.74;
    const s = 1 - t;
    const px = s * s * (s + 3 * t) * x1 + t * t * (t + 3 * s) * x2;
    const py = s * s * s * y1 + 3 * s * s * t * (y1 + bend) + 3 * s * t * t * (y2 - bend) + t * t * t * y2;
    const colour = share < 0 ? "var(--pset4-orange)" : share > 0 ? "var(--pset4-blue)" : "var(--pset4-soft)";
    return { lit, path: h("path", { key: `route${m}-${j}`, d: `M${x1},${y1}C${x1},${y1 + bend} ${x2},${y2 - bend} ${x2},${y2}`, fill: "none", stroke: colour,
      "stroke-width": share ? 2 + 9 * Math.min(1, Math.abs(share) / strongest) : 1.2, "stroke-opacity": lit ? 0.85 : 0.14,
      "stroke-dasharray": share < 0 ? "7 4" : share ? "none" : "2 4", "pointer-events": "none" }),
    number: lit && follow !== "all" && h("g", { key: `share${m}-${j}`, "pointer-events": "none" },
      h("rect", { x: px - box / 2, y: py - 10, width: box, height: 20, rx: 4, fill: "var(--pset4-ground)", stroke: colour }),
      h("text", { x: px, y: py + 4.5, ...middle, "font-weight": 700 }, number(share))) };
  };
  const routes = weights.flatMap((row, m) => row.map((weight, j) => weight !== 0 && route(m, j)).filter(Boolean));
  const shownYours = (value) => (typeof value === "number" ? (value * 3) / largest : 0);

  const picture = h("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "Gradients from outputs back to inputs" },
    kernel && [name("kernel", top.kernel + 4), h("line", { x1: left, x2: left + kernel.length * Math.max(column, 72), y1: top.kernel, y2: top.kernel, stroke: "var(--pset4-line)" }),
      kernel.map((value, i) => {
        const at = left + (i + 0.5) * Math.max(column, 72);
        const which = `W[${i - (kernel.length - 1) / 2}]`.replace("-", "−");
        return [bar("kernel", i, { x: at, y0: top.kernel, width: wide, unit, label: `kernel[${i}], which is ${which}`, fill: "var(--pset4-orange)" }),
          h("text", { x: at, y: top.kernel + tall + 18, ...middle }, `${which} = ${number(value)}`)];
      })],
    name("grad_out", top.grad_out + 4), zero(top.grad_out),
    // A group that is always there: what comes and goes between bars would take the drag from them.
    h("g", { key: "window" }, followedOutput >= 0 && h("rect", { x: x(Math.max(0, followedOutput + data.first)) - column / 2 + 2, y: top.x_in - tall - 5,
      width: (Math.min(N - 1, followedOutput + data.last) - Math.max(0, followedOutput + data.first) + 1) * column - 4, height: 2 * tall + 28, rx: 8,
      fill: "var(--pset4-blue)", "fill-opacity": 0.1, stroke: "var(--pset4-blue)", "stroke-opacity": 0.6 })),
    h("g", { key: "dark" }, routes.filter(({ lit }) => !lit).map(({ path }) => path)),
    h("g", { key: "lit" }, routes.filter(({ lit }) => lit).map(({ path }) => path)),
    grad_out.map((value, m) => [
      h("g", followed(`grad_out[${m}]`), bar("grad_out", m, { x: xOut(m), y0: top.grad_out, width: wide, unit, label: `grad_out[${m}]` })),
      h("text", { x: xOut(m), y: top.grad_out + tall + 14, ...middle, "font-weight": followedOutput === m ? 700 : 400 }, number(value))]),
    name("x_in", top.x_in + 4), zero(top.x_in),
    x_in.map((value, j) => [
      h("g", followed(`x_in[${j}]`), bar("x_in", j, { x: x(j), y0: top.x_in, width: wide, unit, label: `x_in[${j}]`, fill: "var(--pset4-soft)" })),
      h("text", { x: x(j), y: top.x_in + tall + 16, ...middle, "font-weight": follow === `x_in[${j}]` ? 700 : 400 }, number(value))]),
    h("g", { key: "numbers" }, routes.map((one) => one.number).filter(Boolean)),
    name("dC/dx_in", top.yours + 4), zero(top.yours),
    yours.map((value, j) => h("rect", { key: `yours${j}`, x: x(j) - wide * 0.4, width: wide * 0.8, y: Math.min(top.yours, top.yours - shownYours(value) * unit),
      height: Math.max(1.5, Math.abs(shownYours(value)) * unit), fill: "var(--pset4-green)",
      stroke: follow === `x_in[${j}]` ? "var(--pset4-ink)" : "none", "stroke-width": 2.5 })),
  );

  const first = answer.agrees.indexOf(false);
  const columns = [...x_in.map((_, j) => (column < 52 ? `[${j}]` : `x_in[${j}]`)), ...(together ? [column < 52 ? "ties" : "ties together"] : [])];
  const extra = (index) => (together ? [together[index]] : []);
  const cells = (values, kink) => values.map((value, j) => h("td", { class: j === first ? "pset4-wrong" : "" }, number(value), kink && answer.trusted[j] === false && " ?"));
  const verdict = (j) => (j === first ? "✗ first" : !answer.agrees[j] ? "✗" : answer.trusted[j] === false ? "tie ✓" : "✓");
  const row = (title, ...content) => h("tr", {}, h("th", { scope: "row" }, title), ...content);
  const table = h("table", { class: "pset4-ways", style: `width:${left + columns.length * column}px` },
    h("thead", {}, h("tr", {}, h("td", { style: `width:${left}px;text-align:left` }, column < 52 && "x_in"), columns.map((title) => h("th", { scope: "col" }, title)))),
    h("tbody", {},
      row("yours", cells([...yours, ...extra(0)])),
      row("autograd", cells([...answer.autograd, ...extra(2)])),
      row(width < 500 ? "differences" : "finite differences", cells([...answer.differences, ...extra(1)], true)),
      row(width < 500 ? "verdict" : "verdict on yours", columns.map((_, j) => h("td", { class: j === first ? "pset4-wrong" : "", title: answer.agrees[j] ? "agrees" : "differs" }, verdict(j))))));
  return [picture, table];
}
