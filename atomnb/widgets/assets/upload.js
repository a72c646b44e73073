// Upload a file of any size in pieces, so that no single message grows large and progress can be shown.

const PIECE = 4 * 1024 * 1024;

function render({ model, el }) {
  const box = document.createElement("label");
  box.className = "an-upload";
  const input = document.createElement("input");
  input.type = "file";
  const text = document.createElement("span");
  box.append(text, input);
  el.append(box);
  let file = null;
  const idle = () => {
    text.innerHTML = "<b>Choose a file</b> or drop it here";
    const limit = document.createElement("small");
    limit.textContent = `up to ${Math.round(model.get("limit") / 1e6)} MB`;
    text.append(limit);
    input.value = "";
    input.disabled = false;
    file = null;
  };
  const send = async (from) => {
    const piece = new DataView(await file.slice(from, from + PIECE).arrayBuffer());
    model.send({ kind: "piece", name: file.name, size: file.size, from }, undefined, [piece]);
  };
  const start = (chosen) => {
    if (!chosen || file) return;
    file = chosen;
    if (file.size > model.get("limit")) {
      model.send({ kind: "too_large", name: file.name, size: file.size });
      idle();
      return;
    }
    input.disabled = true;
    text.textContent = `Uploading ${file.name} …`;
    send(0);
  };
  model.on("msg:custom", (message) => {
    if (!file) return;
    if (message.kind === "more") {
      text.textContent = `Uploading ${file.name} … ${Math.floor((100 * message.from) / file.size)} %`;
      send(message.from);
    } else idle();
  });
  input.onchange = () => start(input.files[0]);
  box.ondragover = (event) => { event.preventDefault(); box.classList.add("an-over"); };
  box.ondragleave = () => box.classList.remove("an-over");
  box.ondrop = (event) => {
    event.preventDefault();
    box.classList.remove("an-over");
    start(event.dataTransfer.files[0]);
  };
  idle();
}

export default { render };
