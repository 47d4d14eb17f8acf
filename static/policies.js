// Redraws the parts of a policy's form that depend on other fields. Saving does not need this file.
(() => {
  "use strict";
  const start = () => {
    const marker = document.querySelector(".live-form");
    const form = marker && marker.closest("form");
    if (!form) return;
    const button = form.querySelector("button[name=_foresee]");
    let running = null;
    let timer = 0;

    const ask = async (what) => {
      if (running) running.abort();
      running = new AbortController();
      const body = new FormData(form);
      body.append(what, "1");
      const answer = await fetch(window.location.pathname + window.location.search, {
        method: "POST", body, signal: running.signal, redirect: "error",
      });
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of form.querySelectorAll("[id^='live-']")) {
        const fresh = page.getElementById(part.id);
        if (fresh) part.replaceChildren(...document.importNode(fresh, true).childNodes);
      }
    };
    const attempt = async (what) => {
      try {
        await ask(what);
      } catch (fault) {
        if (fault.name === "AbortError") return;
        const told = document.getElementById("live-foreseen");
        if (told) told.textContent = marker.dataset.fault;
      }
      button?.parentElement.removeAttribute("aria-busy");
    };

    form.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => attempt("_draw"), 250);
    });
    form.addEventListener("change", () => {
      clearTimeout(timer);
      timer = setTimeout(() => attempt("_draw"), 50);
    });
    if (button) {
      button.addEventListener("click", (event) => {
        event.preventDefault();
        clearTimeout(timer);
        button.parentElement.setAttribute("aria-busy", "true");
        attempt("_foresee");
      });
    }

    // add a blank row as soon as the last one is used
    for (const steps of form.querySelectorAll(".steps")) {
      steps.addEventListener("change", () => {
        const last = steps.lastElementChild;
        const count = steps.children.length;
        if (!last.querySelector("select").value || count >= Number(steps.dataset.most)) return;
        const row = last.cloneNode(true);
        row.querySelector(".number").textContent = String(count + 1);
        for (const field of row.querySelectorAll("[name]")) {
          field.name = field.name.replace(/_\d+_/, `_${count}_`);
          const label = field.getAttribute("aria-label");
          field.setAttribute("aria-label", label.replace(/\d+/, String(count + 1)));
          if (field.tagName === "SELECT") field.selectedIndex = 0;
          else field.value = "";
        }
        steps.append(row);
      });
    }

    for (const number of form.querySelectorAll("input[data-slider]")) {
      const slider = document.createElement("input");
      slider.type = "range";
      slider.className = "score-slider";
      for (const name of ["min", "max", "step"]) slider[name] = number[name];
      slider.value = number.value;
      const label = form.querySelector(`label[for="${number.id}"]`);
      slider.setAttribute("aria-label", label ? label.textContent.trim() : number.name);
      number.after(slider);
      number.addEventListener("input", () => { slider.value = number.value; });
      slider.addEventListener("input", () => { number.value = slider.value; });
    }
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
