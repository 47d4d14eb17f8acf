// The theme opens its filters, menus and side bar by links and signs that no key reaches: make buttons of them.
(() => {
  "use strict";

  const reachable = "a[href], button, input, select, textarea, [tabindex]";
  const closers = /\.outside|openModal = false|filterOpen = false/;

  const opens = (element) =>
    !element.matches(reachable) &&
    !element.querySelector(reachable) &&
    ["x-on:click", "@click"].some((name) => element.hasAttribute(name) && !closers.test(element.getAttribute(name)));

  const make = (element) => {
    element.setAttribute("role", "button");
    element.tabIndex = 0;
    if (element.getAttribute("x-on:click").includes("sidebar")) {
      element.setAttribute("aria-label", document.getElementById("page")?.dataset.sideBar ?? "");
    }
  };

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("a[x-on\\:click], span[x-on\\:click], div[x-on\\:click]").forEach((element) => {
      if (opens(element)) make(element);
    });
  });

  document.addEventListener("keydown", (event) => {
    const made = event.target;
    if (made.matches?.("[role=button][x-on\\:click]") && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      made.click();
    }
  });
})();
