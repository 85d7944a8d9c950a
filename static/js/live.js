// Live regions. An element with data-refresh="seconds" gets the event "refresh", for which its
// hx-trigger waits: not while the tab is hidden, at once when it comes back, slower when it fails.
(() => {
  const due = new WeakMap();
  const failures = new WeakMap();
  const last = new WeakMap();
  let held = false; // while a dialog is open or text inside a region is selected

  const wait = (element) => 1000 * Number(element.dataset.refresh) * 2 ** Math.min(failures.get(element) || 0, 4);
  const selecting = (element) => {
    const selection = document.getSelection();
    return selection && !selection.isCollapsed && element.contains(selection.anchorNode);
  };

  const step = () => {
    if (document.hidden || held || !window.htmx) return;
    const now = performance.now();
    for (const element of document.querySelectorAll("[data-refresh]")) {
      if (!due.has(element)) due.set(element, now + wait(element));
      if (due.get(element) > now || selecting(element)) continue;
      due.set(element, now + wait(element));
      window.htmx.trigger(element, "refresh");
    }
  };
  setInterval(step, 250);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    document.querySelectorAll("[data-refresh]").forEach((element) => due.set(element, 0));
    step();
  });
  document.addEventListener("toggle", (event) => {
    if (event.target.matches?.(".menu")) held = Boolean(document.querySelector(".menu[open]"));
  }, true);

  let openBefore = []; // what a swap must not lose: unfolded parts, focus
  let focusBefore = "";
  let textBefore = null;

  // Nothing new: leave the page alone. Times count on by themselves and tokens differ each time.
  const essence = (text) => text
    .replace(/(<time[^>]*>)[^<]*/g, "$1")
    .replace(/name="csrfmiddlewaretoken" value="[^"]*"/g, "");

  document.addEventListener("htmx:beforeSwap", (event) => {
    const { elt, xhr } = event.detail;
    if (!elt.matches("[data-refresh]")) return;
    if (xhr.status === 200 && xhr.responseURL.includes("/login")) { location.reload(); return; }
    const text = essence(xhr.responseText);
    if (last.get(elt) === text) event.detail.shouldSwap = false;
    last.set(elt, text);
    openBefore = [...document.querySelectorAll("details[id][open]")].map((found) => found.id);
    focusBefore = elt.contains(document.activeElement) ? document.activeElement.id : "";
    textBefore = text;
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    for (const id of openBefore) {
      const found = document.getElementById(id);
      if (found) found.open = true;
    }
    if (focusBefore) document.getElementById(focusBefore)?.focus({ preventScroll: true });
    focusBefore = "";
    const fresh = event.detail.elt;
    if (fresh?.matches?.("[data-refresh]") && textBefore) last.set(fresh, textBefore);
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    const element = event.detail.elt;
    if (!element.matches?.("[data-refresh]")) return;
    failures.set(element, event.detail.successful ? 0 : (failures.get(element) || 0) + 1);
    due.set(element, performance.now() + wait(element));
  });

  // Times in words: "3 min ago" and "for 12 s" go on counting, in the viewer's own zone on hover.
  const root = document.documentElement.dataset;
  const steps = [[86400, root.day || "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const relative = (seconds) => {
    const [size, unit] = steps.find(([length]) => Math.abs(seconds) >= length) || steps[3];
    return `${Math.floor(Math.abs(seconds) / size)} ${unit}`;
  };
  const two = (number) => String(number).padStart(2, "0");
  const length = (seconds) => {
    const whole = Math.max(0, Math.floor(seconds));
    if (whole < 60) return whole < 1 ? "0 s" : `${whole} s`;
    if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
    if (whole < 172800) return `${Math.floor(whole / 3600)} h ${two(Math.floor(whole / 60) % 60)} min`;
    return `${Math.floor(whole / 86400)} ${root.day || "d"} ${Math.floor(whole / 3600) % 24} h`;
  };
  const local = (when) => `${when.getFullYear()}-${two(when.getMonth() + 1)}-${two(when.getDate())} ${two(when.getHours())}:${two(when.getMinutes())}:${two(when.getSeconds())}`;
  const write = (element, text) => { if (element.textContent !== text) element.textContent = text; };
  // The server's clock: ours may be wrong, and ages must not jump.
  const skew = Number(root.now || 0) ? Number(root.now) - Date.now() : 0;
  const tick = () => {
    if (document.hidden) return;
    const now = Date.now() + skew;
    for (const element of document.querySelectorAll("time[datetime]")) {
      const when = new Date(element.dateTime);
      const seconds = (now - when.getTime()) / 1000;
      if ("relative" in element.dataset) write(element, (seconds > -1.5 ? root.ago : root.in).replace("%s", relative(seconds)));
      else if ("since" in element.dataset) write(element, length(seconds));
      else if ("moment" in element.dataset) write(element, local(when));
      if (!element.dataset.local) {
        element.dataset.local = "1";
        element.title = `${local(when)} · ${when.toISOString().slice(0, 19).replace("T", " ")} UTC`;
      }
    }
  };
  setInterval(tick, 1000);
  document.addEventListener("DOMContentLoaded", tick);
  document.addEventListener("htmx:afterSettle", tick);
  tick();
})();
