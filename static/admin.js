// The theme's links and icons for filters, menus and the side bar are not reachable by keyboard: turn them into buttons.
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

  // Select2 labels its box with the value only, so an empty one has no name: prepend the label.
  const name = (box) => {
    const value = box.querySelector(".select2-selection__rendered");
    const field = box.closest(".select2")?.previousElementSibling;
    const label = field?.labels?.[0];
    if (!value || !label) return;
    label.id ||= `${field.id}_label`;
    box.dataset.named = "1";
    value.setAttribute("aria-labelledby", label.id);
    box.setAttribute("aria-labelledby", `${label.id} ${value.id}`);
  };
  const nameAll = () =>
    document.querySelectorAll(".select2-selection[role=combobox]:not([data-named])").forEach(name);
  document.addEventListener("DOMContentLoaded", () => {
    nameAll();
    new MutationObserver(nameAll).observe(document.body, { childList: true, subtree: true });
  });

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("a[x-on\\:click], span[x-on\\:click], div[x-on\\:click]").forEach((element) => {
      if (opens(element)) make(element);
    });
  });

  // On a phone a cell starts with its column's name.
  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("#result_list [data-label]").forEach((cell) => {
      cell.dataset.label = cell.dataset.label.charAt(0).toUpperCase() + cell.dataset.label.slice(1);
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
