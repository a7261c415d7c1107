// Max pooling: the signal, every window with its winners, what comes out, and the same for the signal moved by one.
({ state, answer, answered, width, bar, h, number }) => {
  const { x_in } = state;
  const { size } = answered;
  const { output, winners, moved } = answer;
  const N = x_in.length;
  const left = width < 500 ? 66 : 108;
  const right = 30;
  const column = Math.min(64, (width - left - right) / N);
  const x = (j) => left + (j + 0.5) * column; // the middle of position j
  const centre = (m) => x(m + (size - 1) / 2); // an output stands below the middle of its window
  const unit = 13; // pixels per 1
  const lane = 23;
  const middle = { "text-anchor": "middle" };
  const top = { x_in: 46, windows: 140 };
  top.out = top.windows + N * lane + 50;
  const height = top.out + 92;
  const end = left + N * column;
  const wins = x_in.map((_, j) => winners.filter((inputs) => inputs.includes(j)).length);

  const name = (text, y) => h("text", { x: 2, y, class: "pset4-faint" }, text);
  const zero = (y) => h("line", { x1: left, x2: end, y1: y, y2: y, stroke: "var(--pset4-line)" });
  const block = (at, y0, value, more) => h("rect", { x: at - column * 0.3, width: column * 0.6, y: Math.min(y0, y0 - value * unit),
    height: Math.max(1.5, Math.abs(value) * unit), ...more });
  const dashed = { fill: "none", stroke: "var(--pset4-orange)", "stroke-width": 2, "stroke-dasharray": "4 3", "pointer-events": "none" };
  const high = (value) => (typeof value === "number" ? Math.max(-3.5, Math.min(3.5, value)) : 0);
  const mark = (same, at, y) => [
    same && h("rect", { x: at - 11, y: y - 13, width: 22, height: 17, rx: 8, fill: "var(--pset4-green)", "fill-opacity": 0.3, stroke: "var(--pset4-green)" }),
    h("text", { x: at, y, ...middle, "font-weight": same ? 700 : 400, class: same ? "" : "pset4-faint" }, same ? "=" : "≠")];

  const window_ = (m) => {
    const y = top.windows + m * lane;
    const inside = x_in.map((_, j) => j).filter((j) => j >= m && j < m + size);
    const fate = winners[m].length > 1 ? "tie" : winners[m].length ? "" : "✗";
    return [
      h("rect", { x: x(m) - column / 2 + 2, y: y + 1, width: Math.max(4, inside.length * column - 4), height: lane - 3, rx: 9,
        fill: "var(--pset4-blue)", "fill-opacity": 0.1, stroke: "var(--pset4-blue)", "stroke-opacity": 0.55 }),
      inside.map((j) => [
        winners[m].includes(j) && h("rect", { x: x(j) - Math.min(19, column / 2 - 4), y: y + 2, width: Math.min(38, column - 8), height: lane - 5, rx: 8,
          fill: "var(--pset4-green)", "fill-opacity": 0.25, stroke: "var(--pset4-green)", "stroke-width": 2.5, "stroke-dasharray": fate ? "4 2" : "none" }),
        h("text", { x: x(j), y: y + 15, ...middle, "font-weight": winners[m].includes(j) ? 700 : 400, class: winners[m].includes(j) ? "" : "pset4-faint" }, number(x_in[j])),
      ]),
      h("text", { x: x(m + inside.length - 1) + column / 2 + 3, y: y + 15, "font-weight": 700 }, fate),
    ];
  };

  return h("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "Signal, windows with their winners, and output" },
    name("x_in", top.x_in + 4), zero(top.x_in),
    x_in.map((_, j) => bar("x_in", j, { x: x(j), y0: top.x_in, width: Math.min(column - 4, 40), unit, label: `x_in[${j}]` })),
    moved && moved.map((value, j) => block(x(j), top.x_in, high(value), dashed)),
    x_in.map((value, j) => h("text", { x: x(j), y: top.x_in + 56, ...middle }, number(value))),
    moved ? [name(width < 500 ? "- - moved" : "- - moved by one", top.x_in + 74), answer.same_in.map((same, j) => mark(same, x(j), top.x_in + 76))]
      : [name("it wins", top.x_in + 74), wins.map((count, j) => h("text", { x: x(j), y: top.x_in + 74, ...middle, class: count ? "" : "pset4-faint", "font-weight": count ? 700 : 400 }, `${count}×`))],
    output.map((_, m) => [name(width < 500 ? `win. ${m}` : `window ${m}`, top.windows + m * lane + 15), window_(m)]),
    name("x_out", top.out + 4), zero(top.out),
    output.map((value, m) => [
      block(centre(m), top.out, high(value), { fill: "var(--pset4-green)" }),
      moved && m < answer.moved_output.length && block(centre(m), top.out, high(answer.moved_output[m]), dashed),
      h("text", { x: centre(m), y: top.out + 60, ...middle }, number(value)),
      moved && m < answer.same_out.length && mark(answer.same_out[m], centre(m), top.out + 80),
    ]),
    moved && name(width < 500 ? "- - moved" : "- - moved by one", top.out + 78),
  );
}
