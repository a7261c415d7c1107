// One step of the attack in a plane of two pixels: the move, the projection and the clamp as arrows over a decision map.
({ state, answer, answered, width, handle, h, set, number, data, live }) => {
  const wide = width >= 640;
  const side = Math.min(width, 450);
  const [low, high] = data.shown;
  const unit = side / (high - low); // pixels per 1
  const X = (value) => (value - low) * unit;
  const Y = (value) => (high - value) * unit;
  const at = (point) => `${X(point[0]).toFixed(1)},${Y(point[1]).toFixed(1)}`;
  const line = (points) => `M${points.map(at).join("L")}`;
  const near = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]) < 0.002;
  const sum = (a, b) => [a[0] + b[0], a[1] + b[1]];
  const value = (px, py) => [px / unit + low, high - py / unit];
  const pair = (point) => `(${point.map((v) => number(Math.round(v * 1000) / 1000)).join(", ")})`;
  const text = (x, y, words, more = {}) => h("text", { x, y, ...more }, words);
  const halo = { "paint-order": "stroke", stroke: "var(--pset4-ground)", "stroke-width": 4, "stroke-linejoin": "round" };

  const { original, x } = answered;
  const parts = [
    { name: "move", from: x, to: answer.moved, colour: "var(--pset4-blue)", dash: "" },
    { name: "project", from: answer.moved, to: answer.projected, colour: "var(--pset4-orange)", dash: "7 4" },
    { name: "clamp", from: answer.projected, to: answer.end, colour: "var(--pset4-green)", dash: "2 3" },
  ];
  const arrow = ({ from, to, colour, dash }, index) => {
    if (near(from, to)) return [];
    const [dx, dy] = [X(to[0]) - X(from[0]), Y(to[1]) - Y(from[1])];
    const length = Math.hypot(dx, dy);
    const angle = (Math.atan2(dy, dx) * 180) / Math.PI;
    // The number stands beside the middle of its arrow.
    const [mx, my] = [X(from[0]) + dx / 2 + (13 * dy) / length, Y(from[1]) + dy / 2 - (13 * dx) / length];
    return h("g", { key: `part${index}` },
      h("line", { x1: X(from[0]), y1: Y(from[1]), x2: X(to[0]) - (6 * dx) / length, y2: Y(to[1]) - (6 * dy) / length, stroke: colour, "stroke-width": 3, "stroke-dasharray": dash || "none" }),
      h("path", { d: "M0,0L-11,-5.5L-11,5.5z", fill: colour, transform: `translate(${at(to)}) rotate(${angle})` }),
      h("circle", { cx: mx, cy: my, r: 8.5, fill: "var(--pset4-ground)", stroke: colour, "stroke-width": 1.5 }),
      text(mx, my + 4, index + 1, { "text-anchor": "middle", "font-weight": 700 }));
  };

  const labelOf = (points) => points.filter((point) => point[0] < 0.94).reduce((best, point) => (Math.abs(point[1] - 0.2) < Math.abs(best[1] - 0.2) ? point : best));
  const map = [
    h("defs", {},
      h("pattern", { id: "pset4-spider", width: 9, height: 9, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
        h("line", { x1: 0, y1: 0, x2: 0, y2: 9, stroke: "var(--pset4-orange)", "stroke-width": 2, "stroke-opacity": 0.35 })),
      h("clipPath", { id: "pset4-range" }, h("rect", { x: X(0), y: Y(1), width: unit, height: unit }))),
    h("g", { "clip-path": "url(#pset4-range)" },
      data.map.region.map((points) => [
        h("path", { d: `${line(points)}z`, fill: "var(--pset4-orange)", "fill-opacity": 0.13 }),
        h("path", { d: `${line(points)}z`, fill: "url(#pset4-spider)" })]),
      data.map.lines.map(([level, points]) => h("path", { d: line(points), fill: "none", stroke: "var(--pset4-ink)", "stroke-opacity": level === 0.5 ? 0.9 : 0.4, "stroke-width": level === 0.5 ? 1.8 : 1 })),
      data.map.lines.map(([level, points]) => text(X(labelOf(points)[0]), Y(labelOf(points)[1]) + 4, level, { "text-anchor": "middle", "font-size": 11, ...halo })),
      text(X(0.04), Y(0.05), `sees a ${data.classes[0]}`, { "font-weight": 600, ...halo }),
      text(X(0.97), Y(0.93), `sees a ${data.classes[1]}`, { "text-anchor": "end", "font-weight": 600, ...halo })),
    h("rect", { x: X(0), y: Y(1), width: unit, height: unit, fill: "none", stroke: "var(--pset4-ink)", "stroke-width": 1.5 }),
    [0, 0.5, 1].map((tick) => [
      text(X(tick), Y(0) + 16, tick, { "text-anchor": "middle" }), text(X(0) - 6, Y(tick) + 4, tick, { "text-anchor": "end" })]),
    text(X(0.75), Y(0) + 16, "pixel 1", { "text-anchor": "middle" }),
    text(X(0) - 6, Y(0.75) + 4, "pixel 2", { "text-anchor": "end" }),
  ];

  const tip = sum(state.x, state.direction);
  const [tx, ty] = [X(tip[0]) - X(state.x[0]), Y(tip[1]) - Y(state.x[1])];
  const turn = (Math.atan2(ty, tx) * 180) / Math.PI;
  const axes = ["pixel 1", "pixel 2"];
  const knob = { fill: "var(--pset4-ground)", stroke: "var(--pset4-ink)", "stroke-width": 2 };
  const picture = h("svg", { width: side, height: side, viewBox: `0 0 ${side} ${side}`, style: `width:${side}px;max-width:100%;flex:none`, role: "group", "aria-label": "Map of two pixels with one step of the attack" },
    map,
    h("circle", { cx: X(original[0]), cy: Y(original[1]), r: answered.eps * unit, fill: "none", stroke: "var(--pset4-ink)", "stroke-width": 1.5, "stroke-dasharray": "5 4" }),
    text(X(original[0]), Y(original[1] - answered.eps) + 15, `eps = ${number(answered.eps)}`, { "text-anchor": "middle", ...halo }),
    h("line", { x1: X(state.x[0]), y1: Y(state.x[1]), x2: X(tip[0]), y2: Y(tip[1]), stroke: "var(--pset4-ink)", "stroke-width": 1.5 }),
    parts.map(arrow),
    h("path", { d: "M0,-7L7,0L0,7L-7,0z", transform: `translate(${at(answer.end)})`, fill: "var(--pset4-green)", stroke: "var(--pset4-ground)", "stroke-width": 1.5 }),
    handle("original", { x: X(state.original[0]), y: Y(state.original[1]), place: value, label: "photo x₀", axes }, h("rect", { x: -6, y: -6, width: 12, height: 12, ...knob })),
    handle("x", { x: X(state.x[0]), y: Y(state.x[1]), place: value, label: "where you are, x", axes }, h("circle", { r: 4.5, ...knob, fill: "var(--pset4-ink)" })),
    handle("direction", { x: X(tip[0]), y: Y(tip[1]), place: (px, py) => value(px, py).map((v, i) => v - state.x[i]), label: "direction", axes },
      h("path", { d: "M6,0L-6,-6L-3,0L-6,6z", transform: `rotate(${turn})`, ...knob })));

  const distance = (point) => Math.hypot(point[0] - original[0], point[1] - original[1]);
  const rows = [
    ["", "direction, length 1", pair(answer.unit), ""],
    ["1", "move", pair(answer.moved), `distance ${number(distance(answer.moved))}${distance(answer.moved) > answered.eps + 1e-4 ? " > eps" : ""}`],
    ["2", "project", pair(answer.projected), near(answer.moved, answer.projected) ? "in the ball: stays" : "back to distance eps"],
    ["3", "clamp", pair(answer.end), near(answer.projected, answer.end) ? "in [0, 1]: stays" : "back into [0, 1]"],
  ];
  const colours = ["var(--pset4-ink)", ...parts.map((part) => part.colour)];
  const table = h("table", { style: "border-collapse:collapse;margin:8px 0;font-variant-numeric:tabular-nums;color:inherit;font-size:13px" },
    h("tbody", {}, rows.map(([sign, name, point, note], i) => h("tr", { style: "background:none" },
      h("th", { scope: "row", style: `text-align:left;vertical-align:top;white-space:nowrap;padding:4px 8px;border-left:4px ${["solid", "solid", "dashed", "dotted"][i]} ${colours[i]}` }, `${sign} ${name}`),
      h("td", { style: "white-space:nowrap;text-align:left;padding:4px 8px" }, point, note && h("div", { style: "color:var(--pset4-soft);font-size:12px" }, note))))));
  const go = (to, words) => h("button", { type: "button", class: "pset4-button", "data-lm-suppress-shortcuts": "true", disabled: !live, onclick: () => set({ x: to }) }, words);
  return h("div", { style: `display:flex;flex-wrap:${wide ? "nowrap" : "wrap"};gap:8px 18px;align-items:flex-start` },
    picture,
    h("div", { style: "min-width:0" },
      h("p", { style: "margin:4px 0;display:flex;flex-wrap:wrap;gap:2px 14px" },
        ["■ the photo x₀", "● where you are, x", "➤ the direction", "◆ the new x"].map((words) => h("span", { style: "white-space:nowrap" }, words))),
      table,
      h("p", { style: "margin:4px 0;display:flex;gap:8px;flex-wrap:wrap" }, go(answer.end, "Go there: x becomes ◆"), go(state.original, "Back to the photo"))));
}
