// The model that joins a page's explorer to the kernel. It has no view of its own: a notebook that is opened again
// without its kernel holds nothing that could fail to be displayed.
export default {
  initialize({ model }) {
    const id = model.get("explorer");
    (window.pset4Links ??= {})[id] = model;
    window.dispatchEvent(new CustomEvent("pset4-link"));
    return () => { if (window.pset4Links[id] === model) delete window.pset4Links[id]; };
  },
};
