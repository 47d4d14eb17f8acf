// Swagger UI with the API's own schema: nothing is fetched from another host, and nothing is stored.
"use strict";

const reference = document.getElementById("reference");
const dark = window.matchMedia("(prefers-color-scheme: dark)");

function followColours() {
  document.documentElement.classList.toggle("dark-mode", dark.matches);
}

dark.addEventListener("change", followColours);
followColours();

window.SwaggerUIBundle({
  domNode: reference,
  url: reference.dataset.schema,
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  filter: true,
  tryItOutEnabled: false,
  validatorUrl: null,
  requestInterceptor(request) {
    // with the session of a signed-in browser a POST needs the form token
    if (!request.headers.Authorization && new URL(request.url, location).origin === location.origin) {
      request.headers["X-CSRFToken"] = reference.dataset.csrf;
    }
    return request;
  },
});
