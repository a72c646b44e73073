// The error panel: what happened, what to do, and the details to copy.

function render({ model, el }) {
  const panel = document.createElement("div");
  panel.className = "an-error";
  panel.setAttribute("role", "alert");
  panel.innerHTML = `
    <div class="an-error-text"><strong></strong><p></p></div>
    <div class="an-error-buttons">
      <button class="an-tool an-text" data-act="details" aria-expanded="false">Details</button>
      <button class="an-tool an-text" data-act="copy">Copy details</button>
      <button class="an-tool an-text" data-act="close">Close</button>
    </div>
    <pre hidden></pre>`;
  const [title, message, details] = ["strong", "p", "pre"].map((tag) => panel.querySelector(tag));
  const button = (name) => panel.querySelector(`[data-act=${name}]`);
  button("details").onclick = () => {
    details.hidden = !details.hidden;
    button("details").setAttribute("aria-expanded", String(!details.hidden));
  };
  button("copy").onclick = async () => {
    await copy(`${title.textContent}\n${message.textContent}\n\n${details.textContent}`);
    button("copy").textContent = "Copied";
  };
  button("close").onclick = () => {
    model.set("report", {});
    model.save_changes();
  };
  const show = () => {
    const report = model.get("report");
    panel.hidden = !report.title;
    title.textContent = report.title ?? "";
    message.textContent = report.message ?? "";
    details.textContent = report.details ?? "";
    details.hidden = true;
    button("copy").textContent = "Copy details";
  };
  model.on("change:report", show);
  show();
  el.append(panel);
}

async function copy(text) {
  // navigator.clipboard exists on localhost and https only.
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

export default { render };
