// What every explorer shares: a small virtual DOM, controls by mouse and by keys, and the way to the notebook's kernel.
// `pset4Explorer(root, data, draw)` builds one explorer below `root`; page.py writes the call. `draw(view)` returns what
// stands below the controls; it runs anew after every change, and only what differs is touched, so that focus and a
// drag survive.
const pset4Explorer = (() => {
  "use strict";
  const SVG = "http://www.w3.org/2000/svg";
  const KEYS = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 5, PageDown: -5, Home: -Infinity, End: Infinity };

  /** A node to be: h("rect", {x: 1, onclick: f}, ...children). A `key` keeps an element apart from its siblings. */
  const h = (tag, attributes = {}, ...children) => ({
    tag, attributes, children: children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  });

  const create = (node, inSvg) => {
    if (typeof node !== "object") return document.createTextNode(String(node));
    const svg = inSvg || node.tag === "svg";
    const element = svg ? document.createElementNS(SVG, node.tag) : document.createElement(node.tag);
    update(element, node, svg);
    return element;
  };

  const update = (element, node, svg) => {
    for (const name of element.getAttributeNames()) {
      if (!(name in node.attributes)) element.removeAttribute(name);
    }
    element.pset4Handlers ??= {};
    for (const [name, value] of Object.entries(node.attributes)) {
      if (name.startsWith("on")) {
        const event = name.slice(2);
        if (!(event in element.pset4Handlers)) element.addEventListener(event, (e) => element.pset4Handlers[event]?.(e));
        element.pset4Handlers[event] = value;
      } else if (name === "value" || name === "checked") {
        if (element[name] !== value) element[name] = value;
      } else if (value === false || value === null || value === undefined) element.removeAttribute(name);
      else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value === true ? "" : value);
    }
    patch(element, node.children, svg);
  };

  const fits = (old, node) =>
    old && (typeof node === "object"
      ? old.nodeType === 1 && old.localName === node.tag && old.pset4Key === node.attributes.key
      : old.nodeType === 3);

  const patch = (parent, nodes, svg) => {
    nodes.forEach((node, index) => {
      const old = parent.childNodes[index];
      if (!fits(old, node)) {
        const fresh = create(node, svg);
        fresh.pset4Key = node.attributes?.key;
        if (old) parent.replaceChild(fresh, old);
        else parent.appendChild(fresh);
      } else if (typeof node === "object") update(old, node, svg || node.tag === "svg");
      else if (old.data !== String(node)) old.data = String(node);
    });
    while (parent.childNodes.length > nodes.length) parent.removeChild(parent.lastChild);
  };

  /** A number as short as it can be read; what is no number comes as a word. */
  const number = (value, digits = 3) => {
    if (typeof value !== "number") return String(value);
    const text = String(Number(value.toPrecision(digits)));
    return text === "-0" ? "0" : text.replace("-", "−");
  };

  const clamp = (value, control) => {
    const steps = Math.round((Math.min(control.max, Math.max(control.min, value)) - control.min) / control.step);
    return Number((control.min + steps * control.step).toFixed(6));
  };

  const moved = (event, value, control) => {
    const steps = KEYS[event.key];
    if (steps === undefined) return null;
    event.preventDefault();
    return Number.isFinite(steps) ? clamp(value + steps * control.step, control) : steps > 0 ? control.max : control.min;
  };

  /** The kernel of this notebook, if there is one: JupyterLab's widget model, or Colab's callback. */
  const connect = (id, onAnswer, onLive) => {
    const colab = globalThis.google?.colab?.kernel;
    if (colab) {
      onLive((request) => colab.invokeFunction(`pset4.explore.${id}`, [request], {})
        .then((result) => onAnswer(result.data["application/json"]), () => onAnswer(null)));
      return;
    }
    const attach = () => {
      const model = window.pset4Links?.[id];
      if (!model) return;
      window.removeEventListener("pset4-link", attach);
      model.on("msg:custom", (content) => onAnswer(content));
      onLive((request) => model.send(request));
    };
    window.addEventListener("pset4-link", attach);
    attach();
  };

  return (root, data, draw) => {
    const controls = Object.fromEntries(data.controls.map((control) => [control.name, control]));
    const local = data.controls.find((control) => control.local)?.name;
    const question = (state) => JSON.stringify({ ...state, [local]: undefined }); // what the answer depends on
    const known = new Map(data.frames.map(([state, answer]) => [question(state), answer]));
    let state = { ...data.state };
    let shown = { state, answer: known.get(question(state)) };
    let send = null;
    let waiting = null; // the state that the kernel is working on
    let trouble = "";
    let width = 0;

    const live = document.createElement("div");
    live.className = "pset4-live";
    root.appendChild(live);
    root.querySelector(".pset4-still").hidden = true;

    const sentence = () => {
      const { words } = shown.answer;
      return typeof words === "object" ? words[state[local]] : words;
    };

    const render = () => {
      patch(live, [
        h("div", { class: "pset4-controls" }, data.controls.filter((c) => c.kind !== "values").map(controlNode)),
        h("div", { class: trouble ? "pset4-picture pset4-old" : "pset4-picture" }, draw(view())),
        h("p", { class: "pset4-words", role: "status" }, trouble || sentence() || ""),
        !send && h("p", { class: "pset4-note" }, data.offline),
      ].filter(Boolean), false);
    };

    const view = () => ({ state, answer: shown.answer, answered: shown.state, width, controls, set, bar, handle, topFive, h, number, live: Boolean(send), data: data.constants });

    const ask = () => {
      const wanted = question(state);
      if (known.has(wanted) || wanted === question(shown.state)) {
        shown = { state, answer: known.get(wanted) ?? shown.answer };
        trouble = "";
      } else if (send && waiting === null) {
        waiting = state;
        send({ state });
      } else if (!send) trouble = "Only some positions can be shown without the kernel.";
    };

    const receive = (content) => {
      const asked = waiting;
      waiting = null;
      if (content?.answer) {
        shown = { state: asked ?? state, answer: content.answer };
        trouble = "";
      } else trouble = content?.error ?? "The kernel did not answer. Run this cell again.";
      if (asked && question(asked) !== question(state)) ask();
      render();
    };

    const set = (changes) => {
      const before = JSON.stringify(state);
      state = { ...state, ...changes };
      if (JSON.stringify(state) === before) return;
      ask();
      render();
    };

    /** One draggable value of a control of the kind "values", as a bar from the line y0; `unit` is pixels per 1. */
    const bar = (name, index, { x, y0, width: wide, unit, label, fill = "var(--pset4-blue)" }) => {
      const control = controls[name];
      const value = state[name][index];
      const put = (next) => next !== null && set({ [name]: state[name].map((old, i) => (i === index ? next : old)) });
      const drag = (event) => {
        const box = event.currentTarget.ownerSVGElement.getBoundingClientRect();
        put(clamp((y0 - (event.clientY - box.top)) / unit, control));
      };
      const y = Math.min(y0, y0 - value * unit);
      const top = y0 - control.max * unit;
      return h("g", {
        key: `${name}${index}`, class: "pset4-bar", role: "slider", tabindex: "0", "data-lm-suppress-shortcuts": "true",
        "aria-label": label, "aria-valuemin": control.min, "aria-valuemax": control.max, "aria-valuenow": value,
        "aria-orientation": "vertical",
        onkeydown: (event) => put(moved(event, state[name][index], control)),
        onpointerdown: (event) => { event.preventDefault(); event.currentTarget.focus(); event.currentTarget.setPointerCapture(event.pointerId); drag(event); },
        onpointermove: (event) => event.buttons && drag(event),
      },
      h("rect", { x: x - wide / 2, y: top, width: wide, height: (control.max - control.min) * unit, class: "pset4-track" }),
      h("rect", { x: x - wide * 0.32, y, width: wide * 0.64, height: Math.max(Math.abs(value) * unit, 1.5), fill }),
      h("circle", { cx: x, cy: y0 - value * unit, r: Math.min(wide * 0.3, 6), class: "pset4-knob" }));
    };

    /** A control of the kind "values" with two entries, as a point: two sliders for the keys, one drag for both. The point
     *  stands at (x, y); `place` turns pixels of the drawing into the two values, the second of which grows upwards. */
    const handle = (name, { x, y, place, label, axes }, ...looks) => {
      const control = controls[name];
      const put = (next) => set({ [name]: next.map((value) => clamp(value, control)) });
      const drag = (event) => {
        const box = event.currentTarget.ownerSVGElement.getBoundingClientRect();
        put(place(event.clientX - box.left, event.clientY - box.top));
      };
      const key = (event, axis) => {
        const across = { ArrowLeft: 0, ArrowRight: 0, ArrowUp: 1, ArrowDown: 1 }[event.key] ?? axis;
        const next = moved(event, state[name][across], control);
        if (next !== null) put(state[name].map((old, i) => (i === across ? next : old)));
      };
      const arrows = ["M-15,0l6,-4v8zM15,0l-6,-4v8z", "M0,-15l-4,6h8zM0,15l-4,-6h8z"];
      return h("g", {
        key: name, class: "pset4-handle", role: "group", "aria-label": label, transform: `translate(${x},${y})`,
        onpointerdown: (event) => { event.preventDefault(); event.currentTarget.querySelector("[tabindex]").focus(); event.currentTarget.setPointerCapture(event.pointerId); },
        onpointermove: (event) => event.buttons && drag(event),
      },
      h("circle", { r: 16, class: "pset4-track" }), looks,
      [0, 1].map((axis) => h("g", {
        role: "slider", tabindex: "0", "data-lm-suppress-shortcuts": "true", "aria-label": `${label}, ${axes[axis]}`,
        "aria-valuemin": control.min, "aria-valuemax": control.max, "aria-valuenow": state[name][axis],
        "aria-orientation": axis ? "vertical" : "horizontal", onkeydown: (event) => key(event, axis),
      }, h("path", { d: arrows[axis] }))));
    };

    /** The most probable classes as bars, from [name, probability, whether an attack aimed at it]. */
    const topFive = (rows, label) => h("div", { class: "pset4-top5", role: "list", "aria-label": label }, rows.map(([name, probability, target]) =>
      h("div", { role: "listitem", class: target ? "pset4-target" : "" }, h("span", {}, target ? `${name} ◀ target` : name),
        h("span", { class: "pset4-length" }, h("i", { style: `width:${100 * probability}%` })),
        h("span", { class: "pset4-value" }, probability > 0 && probability < 0.001 ? "< 0.001" : probability.toFixed(3)))));

    const controlNode = (control) => {
      const id = `${data.id}-${control.name}`;
      const common = { id, "data-lm-suppress-shortcuts": "true", disabled: !send && !control.framed };
      const value = state[control.name];
      if (control.kind === "slider") {
        return h("label", { class: "pset4-control", for: id, key: id }, h("span", {}, control.label),
          h("input", { ...common, type: "range", min: control.min, max: control.max, step: control.step, value: String(value),
            "aria-valuetext": control.texts.length ? control.texts[value - control.min] : null,
            oninput: (event) => set({ [control.name]: clamp(Number(event.target.value), control) }) }),
          h("output", { for: id }, control.texts.length ? control.texts[value - control.min] : number(value)));
      }
      if (control.kind === "switch") {
        return h("label", { class: "pset4-control", for: id, key: id },
          h("input", { ...common, type: "checkbox", checked: value, onchange: (event) => set({ [control.name]: event.target.checked }) }),
          h("span", {}, control.label));
      }
      if (control.kind === "choice") {
        return h("label", { class: "pset4-control", for: id, key: id }, h("span", {}, control.label),
          h("select", { ...common, onchange: (event) => set({ [control.name]: event.target.value }) },
            control.options.map((option) => h("option", { value: option, selected: option === value }, option))));
      }
      if (control.kind === "button") {
        return h("button", { ...common, key: id, type: "button", class: "pset4-button",
          onclick: () => set({ [control.name]: state[control.name] + 1 }) }, control.label);
      }
      return h("label", { class: "pset4-control", for: id, key: id }, h("span", {}, control.label),
        h("input", { ...common, type: "file", accept: "image/*", onchange: (event) => upload(control, event.target.files[0]) }));
    };

    /** A photo of the reader's, cut to a square of control.side pixels, as a PNG in the state. */
    const upload = async (control, file) => {
      if (!file) return;
      try {
        const picture = await createImageBitmap(file);
        const side = Math.min(picture.width, picture.height);
        const canvas = Object.assign(document.createElement("canvas"), { width: control.side, height: control.side });
        canvas.getContext("2d").drawImage(picture, (picture.width - side) / 2, (picture.height - side) / 2, side, side,
          0, 0, control.side, control.side);
        set({ [control.name]: canvas.toDataURL("image/png") });
      } catch (error) {
        trouble = `“${file.name}” is not an image that this browser can read.`;
        render();
      }
    };

    const resize = () => {
      const next = Math.floor(Math.min(root.clientWidth, 840));
      if (next > 0 && next !== width) { width = next; render(); }
    };
    new ResizeObserver(resize).observe(root);
    connect(data.id, receive, (sender) => { send = sender; trouble = ""; if (width) { ask(); render(); } });
    resize();
  };
})();
