// Runs before the page is drawn, so that it never flashes in the other colours.
(() => {
  const asked = window.matchMedia("(prefers-color-scheme: light)");
  const chosen = () => sessionStorage.getItem("theme");
  const apply = () => {
    const theme = chosen() || (asked.matches ? "light" : "dark");
    document.documentElement.dataset.theme = theme;
    const button = document.getElementById("theme");
    if (button) button.textContent = theme === "dark" ? "Light" : "Dark";
    window.dispatchEvent(new Event("theme"));
  };
  apply();
  asked.addEventListener("change", apply);
  document.addEventListener("DOMContentLoaded", () => {
    apply();
    document.getElementById("theme").addEventListener("click", () => {
      sessionStorage.setItem("theme", document.documentElement.dataset.theme === "dark" ? "light" : "dark");
      apply();
    });
  });
})();
