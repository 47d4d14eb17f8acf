/* Passkeys: asks the browser to create one, or to sign with one, and sends its answer with the button's form.
   The options are fetched from the server when the button is pressed, so that the challenge is fresh. */
"use strict";

(() => {
  const button = document.querySelector("[data-passkey]");
  if (!button) return;
  const { form, dataset: said } = button;
  const trouble = document.getElementById("passkey-trouble");

  const tell = (text) => {
    trouble.textContent = text;
    trouble.hidden = !text;
  };
  if (!window.PublicKeyCredential) {
    button.disabled = true;
    tell(said.unable);
    return;
  }

  form.elements.passkey.value = ""; // some browsers restore it with the page

  const bytes = (text) =>
    Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (sign) => sign.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");
  const read = (list) => (list || []).map((one) => ({ ...one, id: bytes(one.id) }));

  const make = async (asked) => {
    const publicKey = {
      ...asked,
      challenge: bytes(asked.challenge),
      user: { ...asked.user, id: bytes(asked.user.id) },
      excludeCredentials: read(asked.excludeCredentials),
    };
    const made = await navigator.credentials.create({ publicKey });
    return [made, {
      clientDataJSON: text(made.response.clientDataJSON),
      attestationObject: text(made.response.attestationObject),
      transports: made.response.getTransports ? made.response.getTransports() : [],
    }];
  };
  const use = async (asked) => {
    const publicKey = {
      ...asked,
      challenge: bytes(asked.challenge),
      allowCredentials: read(asked.allowCredentials),
    };
    const used = await navigator.credentials.get({ publicKey });
    return [used, {
      clientDataJSON: text(used.response.clientDataJSON),
      authenticatorData: text(used.response.authenticatorData),
      signature: text(used.response.signature),
      userHandle: used.response.userHandle ? text(used.response.userHandle) : null,
    }];
  };

  // Whether everything is filled in except the code or password that the passkey replaces.
  const isComplete = () => {
    const instead = document.getElementById(said.instead);
    if (instead) instead.required = false;
    const complete = form.reportValidity();
    if (instead) instead.required = true;
    return complete;
  };

  const ask = async () => {
    const body = new URLSearchParams({ csrfmiddlewaretoken: form.elements.csrfmiddlewaretoken.value, begin: "1" });
    const answer = await fetch(said.passkey, { method: "POST", body, credentials: "same-origin" });
    const isJson = (answer.headers.get("Content-Type") || "").startsWith("application/json");
    if (!isJson) {
      location.reload(); // the response is a page: the user has to sign in, or confirm who they are, again
      return null;
    }
    const asked = await answer.json();
    if (answer.ok) return asked;
    tell(asked.detail);
    return null;
  };

  button.addEventListener("click", async () => {
    if (!isComplete()) return;
    tell("");
    button.setAttribute("aria-busy", "true");
    try {
      const asked = await ask();
      if (!asked) return;
      const [found, response] = await (said.kind === "make" ? make(asked) : use(asked));
      form.elements.passkey.value = JSON.stringify({
        id: found.id,
        rawId: text(found.rawId),
        type: found.type,
        response,
        clientExtensionResults: found.getClientExtensionResults(),
      });
      form.submit(); // not requestSubmit: the code is empty
    } catch (problem) {
      if (problem.name === "InvalidStateError") tell(said.known);
      else if (problem.name === "NotAllowedError" || problem.name === "AbortError") tell(said.cancelled);
      else tell(said.failed);
    } finally {
      button.removeAttribute("aria-busy");
    }
  });
})();
