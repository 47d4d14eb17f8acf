/* The due-task page: keyboard shortcuts, starting a contact, the window's countdown, and network outages.
   Everything works without this file too, with full page loads; the server checks every click itself. */
"use strict";

(() => {
  const byId = (id) => document.getElementById(id);
  const trouble = byId("trouble");
  const said = trouble.dataset;

  // --- current problems ------------------------------------------------------------------------------------

  const tell = (text, kind) => {
    trouble.textContent = text;
    trouble.dataset.kind = kind;
    trouble.hidden = false;
  };
  const allWell = (...kinds) => {
    if (kinds.includes(trouble.dataset.kind)) trouble.hidden = true;
  };
  const sessionOver = (login) => {
    if (trouble.dataset.kind === "session" && !trouble.hidden) return;
    tell(`${said.session} `, "session");
    const link = document.createElement("a");
    link.href = login;
    link.id = "log-in-again";
    link.textContent = said.login;
    trouble.append(link);
  };

  // --- drafts: a note survives a reload, a sign-in and the back button -----------------------------------------

  const draftOf = (form) => `draft-${form.dataset.draft}`;
  const restore = () => {
    const form = document.querySelector("form[data-draft]");
    const note = form && form.elements.namedItem("note");
    if (note && !note.value) note.value = sessionStorage.getItem(draftOf(form)) || "";
    if (note) count(note);
  };
  document.addEventListener("input", (event) => {
    const form = event.target.form;
    if (form && form.dataset.draft && event.target.name === "note") {
      sessionStorage.setItem(draftOf(form), event.target.value);
    }
  });

  // --- a click without a connection is stored and sent once --------------------------------------------------
  // If only the response was lost, the server has recorded the click already and answers the same.

  const KEPT = "kept-click";
  const kept = () => JSON.parse(sessionStorage.getItem(KEPT) || "null");
  let sending = false;

  const keep = (path, values) => {
    sessionStorage.setItem(KEPT, JSON.stringify({ path, body: new URLSearchParams(values).toString() }));
    tell(said.kept, "kept");
  };

  const sendKept = async () => {
    const click = kept();
    if (!click || sending) return;
    sending = true;
    const body = new URLSearchParams(click.body);
    const token = document.querySelector("[name=csrfmiddlewaretoken]");
    if (token) body.set(token.name, token.value); // another sign-in changes it
    try {
      const answer = await fetch(click.path, {
        method: "POST",
        body: body.toString(),
        redirect: "manual",
        headers: {
          "Content-Type": "application/x-www-form-urlencoded",
          "HX-Request": "true",
          "HX-Target": "front",
          "HX-Current-URL": location.href,
        },
      });
      if (answer.status === 401) {
        sessionOver(answer.headers.get("X-Login"));
        return;
      }
      if ([502, 503, 504].includes(answer.status) && !answer.headers.has("X-Part")) return;
      sessionStorage.removeItem(KEPT);
      if (answer.status === 403 && !answer.headers.has("X-Part")) {
        location.reload(); // the form was older than the sign-in: reload it, with the note
        return;
      }
      tell(said.sent, "sent");
      setTimeout(() => allWell("sent"), 4000);
      if (answer.headers.has("X-Part")) {
        forget(click.path, answer.status);
        htmx.swap("#front", await answer.text(), { swapStyle: "innerHTML" });
      } else {
        location.reload();
      }
    } catch {
      // still offline
    } finally {
      sending = false;
    }
  };

  const forget = (path, status) => {
    const of = /task\/(\d+)\//.exec(path);
    if (of && status < 400) sessionStorage.removeItem(`draft-${of[1]}`);
  };

  document.addEventListener("htmx:configRequest", (event) => {
    const form = event.detail.elt;
    if (event.detail.verb !== "post" || !form.matches("form")) return;
    if (form.dataset.busy || (form.hasAttribute("data-keep") && kept())) event.preventDefault();
    else form.dataset.busy = "1";
  });

  const lost = (event) => {
    const config = event.detail.requestConfig;
    const form = event.detail.elt;
    if (config.verb === "post" && form.hasAttribute("data-keep")) {
      keep(config.path, config.formData || config.parameters);
    } else if (!kept()) {
      tell(said.lost, "lost");
    }
  };
  document.addEventListener("htmx:sendError", lost);
  document.addEventListener("htmx:timeout", lost);
  document.addEventListener("htmx:afterRequest", (event) => {
    const elt = event.detail.elt;
    delete elt.dataset.busy;
    const status = event.detail.xhr ? event.detail.xhr.status : 0;
    if (status >= 200 && status < 500) {
      allWell("lost", "failed");
      if (elt.matches("form")) forget(event.detail.requestConfig.path, status);
      sendKept();
    }
  });
  window.addEventListener("online", sendKept);
  setInterval(sendKept, 3000);

  // --- responses -----------------------------------------------------------------------------------------------

  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr, elt } = event.detail;
    if (xhr.status < 400) return;
    event.detail.shouldSwap = xhr.getResponseHeader("X-Part") === "1";
    if (event.detail.shouldSwap) return;
    if (xhr.status === 401) sessionOver(xhr.getResponseHeader("X-Login"));
    else if (xhr.status === 403 && elt.matches("form")) location.reload();
    else if ([502, 503, 504].includes(xhr.status)) lost(event);
    else if (elt.id !== "poll") tell(said.failed, "failed");
  });

  let opening = null; // the link that the start button opens once the gate allows it
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-start]");
    const start = byId("start");
    if (link && start && !start.disabled) {
      event.preventDefault();
      start.click();
    }
    const button = event.target.closest("button[data-contact]");
    if (button) opening = { opens: button.dataset.opens, copies: button.dataset.copies };
  });
  const openIt = async () => {
    const { opens, copies } = opening || {};
    opening = null;
    if (copies && byId(copies.slice(1))) {
      try {
        await navigator.clipboard.writeText(byId(copies.slice(1)).innerText);
      } catch {
        getSelection().selectAllChildren(byId(copies.slice(1))); // to be copied by hand if the browser refuses
      }
    }
    if (opens) location.href = opens;
  };

  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.detail.target && event.detail.target.id === "front") {
      restore();
      tick();
      if (byId("started") && opening) openIt();
      opening = null;
      const wrong = document.querySelector("#front [role=alert]:not([hidden])");
      const title = byId("title");
      if (title && !event.target.querySelector("#ready[hx-trigger]")) title.focus({ preventScroll: Boolean(wrong) });
      if (wrong) wrong.scrollIntoView({ block: "center" });
      else scrollTo(0, 0);
      htmx.trigger(document.body, "news");
    }
  });

  // --- the end of the window, by the server's clock ------------------------------------------------------------

  const version = () => byId("version");
  let ahead = 0; // seconds by which the server's clock is ahead of this one
  let heard = "";
  const tick = () => {
    if (version() && version().value !== heard) {
      heard = version().value;
      ahead = Number(version().dataset.now) - Date.now() / 1000;
    }
    document.querySelectorAll("[data-ends]").forEach((form) => {
      form.hidden = Date.now() / 1000 + ahead >= Number(form.dataset.ends);
    });
    const gate = byId("gate");
    const closes = gate && Number(gate.dataset.closes);
    if (!closes || Date.now() / 1000 + ahead < closes) return;
    byId("window-closed").hidden = false;
    gate.hidden = true;
    document.querySelectorAll("button[data-contact]").forEach((button) => (button.disabled = true));
    document.querySelectorAll("#dial, #dial-again").forEach((link) => link.removeAttribute("href"));
  };
  setInterval(tick, 500);
  document.addEventListener("htmx:oobAfterSwap", tick);

  // --- keyboard shortcuts --------------------------------------------------------------------------------------

  const OFF = "keys-off";
  const help = byId("keys");
  const on = byId("keys-on");
  on.checked = localStorage.getItem(OFF) !== "1";
  on.addEventListener("change", () => localStorage.setItem(OFF, on.checked ? "0" : "1"));

  const shown = (elt) => elt.getClientRects().length > 0 && !elt.disabled;
  const isTyping = (elt) =>
    elt.matches("textarea, select, input:not([type=checkbox]):not([type=radio]):not([type=submit])") || elt.isContentEditable;

  const OPT_OUT = "x";
  const PANELS = "#front details[open], #said details[open]";

  const press = (key) => {
    if (key === OPT_OUT && document.querySelector(PANELS)) return null; // the user is choosing something else
    const scopes = [...document.querySelectorAll("details.scope[open]")];
    const within = scopes.length ? scopes[scopes.length - 1] : null;
    const places = within && /^[0-9]$/.test(key) ? [within] : [byId("front"), document];
    for (const place of places) {
      const found = [...place.querySelectorAll(`[data-key="${CSS.escape(key)}"]`)].find(
        (elt) => shown(elt) && (within === elt.closest("details.scope") || elt.matches("summary") || !elt.closest("details.scope")),
      );
      if (found) return found;
    }
    return null;
  };

  const openOnly = (details) => {
    document.querySelectorAll("details.scope[open]").forEach((other) => {
      if (other !== details) other.open = false;
    });
  };
  document.addEventListener("toggle", (event) => event.target.open && event.target.matches("details.scope") && openOnly(event.target), true);

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || help.open) return;
    if (event.key === "Escape") {
      const open = document.querySelector("details.scope[open]");
      if (isTyping(event.target)) event.target.blur();
      else if (open) {
        open.open = false;
        open.querySelector("summary").focus();
      }
      return;
    }
    if (isTyping(event.target) || (!on.checked && event.key !== "?") || event.repeat) return;
    const key = event.key.toLowerCase();
    if (key === "?") help.showModal();
    else if (key === "l") (document.querySelector("#queue a") || byId("beside")).focus();
    else {
      const found = press(key);
      if (!found) return;
      if (isTyping(found)) {
        found.focus();
        if (found.matches("input")) found.select(); // the next search replaces the last one
      } else {
        found.focus();
        found.click();
        const details = found.matches("summary") && found.closest("details");
        const field = details && !details.querySelector("[data-key]:not(summary)") && details.querySelector("input:not([type=hidden])");
        if (field) field.focus();
      }
    }
    event.preventDefault();
  });

  // --- long notes ----------------------------------------------------------------------------------------------

  const count = (note) => {
    const counter = byId(`${note.id}_count`);
    if (!counter) return;
    const signs = note.value.length;
    counter.hidden = signs < Number(counter.dataset.from);
    counter.textContent = (signs > Number(counter.dataset.most) ? counter.dataset.over : counter.dataset.count).replace("{n}", signs);
  };
  document.addEventListener("input", (event) => event.target.name === "note" && count(event.target));

  restore();
  tick();
  sendKept();
})();
