// A photo with the part that is cut out, what the network gets of it, and what it sees.
({ state, answer, width, handle, h, set, topFive, data, live }) => {
  const narrow = width < 620;
  const side = narrow ? Math.min(200, Math.floor((width - 10) / 2)) : 200;
  const part = 1 / state.zoom;
  // The cut stays inside the photo; its centre is counted from the lower left corner.
  const middle = state.centre.map((at) => Math.min(1 - part / 2, Math.max(part / 2, at)));
  const [x, y] = [middle[0] * side, (1 - middle[1]) * side];
  const frame = { x: x - (part * side) / 2 + 1, y: y - (part * side) / 2 + 1, width: part * side - 2, height: part * side - 2, fill: "none" };
  const photo = state.upload || data.photos[state.photo];
  const caption = { style: "margin-top:2px" };
  const before = h("figure", { style: "margin:0;flex:none" },
    h("svg", { width: side, height: side, viewBox: `0 0 ${side} ${side}`, style: `width:${side}px`, role: "group", "aria-label": "The whole photo, with a frame round the part that is cut out" },
      h("image", { href: photo, width: side, height: side, preserveAspectRatio: "none" }),
      state.zoom > 1 && h("rect", { key: "shade", ...frame, stroke: "#000", "stroke-width": 4 }),
      state.zoom > 1 && h("rect", { key: "frame", ...frame, stroke: "#fff", "stroke-width": 2, "stroke-dasharray": "6 4" }),
      state.zoom > 1 && handle("centre", { x, y, place: (px, py) => [px / side, 1 - py / side], label: "middle of the cut", axes: ["to the right", "upwards"] },
        h("circle", { r: 16, fill: "#fff", "fill-opacity": 0.55 }))),
    h("figcaption", caption, state.upload ? "your photo" : state.photo));
  const after = h("figure", { style: "margin:0;flex:none" },
    h("img", { src: answer.picture, width: side, height: side, alt: "what the network gets", style: "display:block" }),
    h("figcaption", caption, "what the network gets"));
  return h("div", { style: "display:flex;flex-wrap:wrap;gap:10px;align-items:flex-start" },
    before, after,
    h("div", { style: `flex:1 1 ${narrow ? 100 : 30}%;min-width:0` },
      topFive(answer.top, "the five most probable classes"),
      state.upload && h("p", { style: "margin:6px 0" }, h("button", { type: "button", class: "pset4-button", "data-lm-suppress-shortcuts": "true", disabled: !live, onclick: () => set({ upload: "" }) }, `Back to “${state.photo}”`)),
      answer.card && h("p", { key: "card", style: "margin:6px 0" }, h("a", { href: answer.card, download: answer.file, "data-lm-suppress-shortcuts": "true", style: "color:inherit;text-decoration:underline" }, "Download the card"))));
}
