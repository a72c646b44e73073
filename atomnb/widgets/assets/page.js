// The frame of a page: its title bar, and what only a browser can do: read the address, save a file.

function render({ model, el }) {
  const bar = document.createElement("header");
  bar.className = "an-bar";
  const home = document.createElement("a");
  home.className = "an-brand";
  home.innerHTML = `${model.get("logo")}<span>atomnb</span>`;
  // Only our own server has a home page; in JupyterLab the name is just a name.
  if (document.body.dataset.voila) home.href = document.body.dataset.baseUrl?.replace(/voila\/$/, "") || "/";
  const title = document.createElement("h1");
  title.textContent = model.get("title");
  const subject = document.createElement("span");
  subject.className = "an-subject";
  const showSubject = () => { subject.textContent = model.get("subject"); };
  model.on("change:subject", showSubject);
  showSubject();
  bar.append(home, title, subject);
  el.append(bar);

  model.on("msg:custom", (message, buffers) => {
    if (message.kind !== "save") return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([buffers[0]], { type: message.mime }));
    link.download = message.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  });
  model.send({ kind: "ready", query: window.location.search });
}

export default { render };
