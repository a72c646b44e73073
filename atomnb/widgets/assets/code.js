// The code panel: the Python behind the current result, to copy.

function render({ model, el }) {
  const panel = document.createElement("div");
  panel.className = "an-code";
  const pre = document.createElement("pre");
  const button = document.createElement("button");
  button.className = "an-tool an-text";
  const show = () => {
    pre.textContent = model.get("code");
    button.textContent = "Copy";
    button.hidden = !model.get("code");
  };
  button.onclick = async () => {
    if (navigator.clipboard) await navigator.clipboard.writeText(pre.textContent);
    else {
      window.getSelection().selectAllChildren(pre);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
  };
  model.on("change:code", show);
  show();
  panel.append(button, pre);
  el.append(panel);
}

export default { render };
