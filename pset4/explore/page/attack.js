// Attacks on several networks at one step: image, magnified difference, top five, and what the other networks say.
({ state, answer, width, h, topFive, number, data }) => {
  const columns = answer.columns.length;
  const gap = width < 500 ? 8 : 24;
  const wide = (width - gap * (columns - 1)) / columns; // pixels of a column
  const beside = wide >= 2 * data.side + 6;
  const side = Math.floor(Math.min(beside ? (wide - 6) / 2 : wide, 1.3 * data.side));
  const small = "margin:2px 0;font-size:12px";
  const picture = (index, alt, caption) => h("figure", { style: `margin:0;width:${side}px;flex:none` },
    h("img", { src: data.pictures[index], alt, width: side, height: side, style: "display:block" }),
    h("figcaption", {}, caption));
  const judge = (name, [probability, fooled]) => h("div", { role: "listitem", class: fooled ? "pset4-target" : "" },
    h("span", {}, `${fooled ? "✗" : "✓"} ${name}`),
    h("span", { class: "pset4-length" }, h("i", { style: `width:${100 * probability}%` })),
    h("span", { class: "pset4-value" }, probability.toFixed(3)));

  return h("div", { style: `display:grid;grid-template-columns:repeat(${columns},minmax(0,1fr));gap:${gap}px`, role: "group", "aria-label": "The attacked images" },
    answer.columns.map((column, index) => {
      const name = data.names[index];
      return h("section", { key: name, "aria-label": `attack on ${name}` },
        h("p", { style: "margin:0 0 4px;font-weight:600" }, name),
        h("div", { style: "display:flex;flex-wrap:wrap;gap:6px" },
          picture(column.picture, `the photo, attacked on the network ${name}`, "image"),
          picture(column.difference, `its difference from the photo, times ${column.factor}`, `difference × ${number(column.factor)}`)),
        h("p", { style: small }, h("b", {}, `L2 = ${column.l2.toFixed(2)}`), ` of ${number(answer.eps)}`),
        h("p", { style: small }, `${name} sees`),
        topFive(column.top, `what ${name} sees in it`),
        h("p", { style: "margin:8px 0 2px;font-size:12px;border-top:1px solid var(--pset4-line);padding-top:4px" }, `Probability of “${data.target}” (✗ fooled)`),
        h("div", { class: "pset4-top5", role: "list", "aria-label": `probability of ${data.target} by each network` },
          column.others.map((other, i) => judge(data.names[i], other))));
    }));
}
