// Loaded before the first paint: the theme a person chose, light or dark; "auto" leaves it to the system.
(() => {
  const root = document.documentElement;
  const apply = (theme) => {
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    else delete root.dataset.theme;
  };
  let kept = "auto";
  try { kept = localStorage.getItem("theme") || "auto"; } catch { /* storage is off: follow the system */ }
  apply(kept);
  const mark = () => document.querySelectorAll("[data-set-theme]").forEach((button) => {
    button.setAttribute("aria-pressed", String(button.dataset.setTheme === kept));
  });
  document.addEventListener("DOMContentLoaded", mark);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-set-theme]");
    if (!button) return;
    kept = button.dataset.setTheme;
    apply(kept);
    mark();
    try { localStorage.setItem("theme", kept); } catch { /* lasts for this page */ }
  });
})();
