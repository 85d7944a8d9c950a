// What a page does beyond links and forms; every page is whole without it.
(() => {
  const $ = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const reveal = () => all(".js-only[hidden]").forEach((element) => { element.hidden = false; });
  document.addEventListener("htmx:afterSettle", reveal);
  reveal();

  all(".nav [aria-current], .tabs [aria-current]").forEach((link) => link.scrollIntoView({ block: "nearest", inline: "center" }));

  // Keyboard: / searches, g and a letter goes, ? helps.
  let waiting = 0;
  const typing = (target) => target.closest("input, textarea, select, [contenteditable]");
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") all(".menu[open]").forEach((menu) => { menu.open = false; });
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || $("dialog[open]")) return;
    const go = $("#go");
    if (!go) return;
    if (event.key === "/") {
      event.preventDefault();
      const field = $("input[type=search]");
      if (field) { field.focus(); field.select(); } else location.href = `${go.dataset.j}#search`;
    } else if (event.key === "?") {
      $("#help").showModal();
    } else if (event.key === "g") {
      waiting = Date.now();
    } else if (Date.now() - waiting < 1200 && go.dataset[event.key]) {
      location.href = go.dataset[event.key];
    }
  });
  if (location.hash === "#search") $("input[type=search]")?.focus();

  document.addEventListener("click", (event) => {
    all(".menu[open]").forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; });
    const opener = event.target.closest("[data-open]");
    if (opener) document.getElementById(opener.dataset.open)?.showModal();
    const copier = event.target.closest("[data-copy]");
    if (copier) copy(copier);
  });

  const copy = async (button) => {
    const text = document.getElementById(button.dataset.copy).textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch { // a plain http page has no clipboard: select it for the person
      const range = document.createRange();
      range.selectNodeContents(document.getElementById(button.dataset.copy));
      const selection = getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
      document.execCommand("copy");
    }
    const label = $("[data-label]", button);
    const before = label.textContent;
    label.textContent = label.dataset.done;
    setTimeout(() => { label.textContent = before; }, 1500);
  };

  // Forms that change something ask once more: data-confirm holds the question.
  document.addEventListener("submit", (event) => {
    const question = event.submitter?.dataset.confirm;
    if (question && !window.confirm(question)) event.preventDefault();
    all("form[data-lean]").forEach((form) => {
      if (form === event.target) all("input, select", form).forEach((field) => { if (!field.value) field.disabled = true; });
    });
  });
  document.addEventListener("change", (event) => {
    if (event.target.closest("[data-submit-on-change]") && event.target.tagName === "SELECT") event.target.form.requestSubmit();
  });
  window.addEventListener("pageshow", () => all("form[data-lean] :disabled").forEach((field) => { field.disabled = false; }));

  // The job list: what is selected decides which actions make sense.
  const list = $("#bulk-form");
  if (list && $("#selected", list)) {
    const final = ["succeeded", "failed", "cancelled"];
    const fits = { cancel: (state) => !final.includes(state), requeue: (state) => final.includes(state), delete: (state) => final.includes(state) };
    const boxes = () => all("input[name=job]", list);
    const head = $("#select-page", list);
    const every = $("#select-all", list);
    const update = () => {
      const chosen = boxes().filter((box) => box.checked);
      const states = chosen.map((box) => $(`#job-${box.value}-state`).dataset.state);
      const whole = every?.checked;
      for (const button of all("button[name=action]", list)) {
        button.disabled = !whole && !states.some(fits[button.value]);
      }
      const count = $("#selected", list);
      count.textContent = count.dataset.text.replace("%s", whole ? every.dataset.count : chosen.length);
      count.hidden = !whole && !chosen.length;
      head.checked = chosen.length > 0 && chosen.length === boxes().length;
      head.indeterminate = chosen.length > 0 && !head.checked;
    };
    list.addEventListener("change", (event) => {
      if (event.target === head) boxes().forEach((box) => { box.checked = head.checked; });
      update();
    });
    document.addEventListener("htmx:afterSettle", update);
    update();
    // Ask for the states of the rows we show; the server answers for those that moved on.
    document.addEventListener("htmx:configRequest", (event) => {
      if (event.detail.elt.id !== "job-news") return;
      event.detail.parameters.known = all("[data-state][data-job]").map((found) => `${found.dataset.job}.${found.dataset.state}`).join(" ");
    });
  }

  // Output: stay at the end while new lines come, as long as the reader is there.
  const follow = new WeakMap();
  const bottom = (box) => box.scrollHeight - box.scrollTop - box.clientHeight < 40;
  const settle = () => all(".console-box[data-follow]").forEach((box) => {
    if (!follow.has(box)) {
      follow.set(box, !location.hash);
      box.addEventListener("scroll", () => follow.set(box, bottom(box)));
    }
    if (follow.get(box)) box.scrollTop = box.scrollHeight;
  });
  document.addEventListener("htmx:afterSettle", settle);
  settle();
})();
