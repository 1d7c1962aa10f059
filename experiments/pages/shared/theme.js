// Light and dark: the system's wish until the button is used.

function startTheme(changed) {
  const wish = matchMedia("(prefers-color-scheme: dark)");
  let chosen = false;
  const set = (dark) => {
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    byId("theme").textContent = dark ? "Light" : "Dark";
    byId("theme").setAttribute("aria-label", dark ? "Light colours" : "Dark colours");
    if (document.body.dataset.ready) changed();
  };
  set(wish.matches);
  wish.addEventListener("change", () => chosen || set(wish.matches));
  byId("theme").addEventListener("click", () => {
    chosen = true;
    set(!isDark());
  });
}
