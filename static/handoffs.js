/* Handoffs on a closer's page: each is announced once, in one tab, when the lead can be called. */
"use strict";

(() => {
  const byId = (id) => document.getElementById(id);
  const rings = byId("rings");
  const SOUND_OFF = "rings-sound-off";
  const NOTICE_ON = "rings-notice-on";
  const RUNG = "rings-rung";
  const mayShow = () => "Notification" in window && Notification.permission === "granted";

  const beep = () => {
    const audio = new AudioContext();
    [0, 0.25].forEach((after) => {
      const tone = audio.createOscillator();
      const volume = audio.createGain();
      tone.frequency.value = 880;
      volume.gain.value = 0.15;
      tone.connect(volume).connect(audio.destination);
      tone.start(audio.currentTime + after);
      tone.stop(audio.currentTime + after + 0.15);
      if (after) tone.onended = () => audio.close();
    });
  };
  const notify = (id) => {
    const shown = new Notification(rings.dataset.notice, { tag: "handoff" }); // without the lead's name: others may see the screen
    shown.onclick = () => {
      window.focus();
      if (byId(`open-${id}`)) byId(`open-${id}`).click();
    };
  };
  const ring = () => {
    const now = [...document.querySelectorAll("[data-rings]")].map((row) => row.dataset.rings);
    const rung = JSON.parse(localStorage.getItem(RUNG) || "[]");
    const fresh = now.filter((id) => !rung.includes(id));
    if (!fresh.length) return;
    localStorage.setItem(RUNG, JSON.stringify([...rung, ...fresh].slice(-200)));
    try {
      if (localStorage.getItem(SOUND_OFF) !== "1") beep();
      if (localStorage.getItem(NOTICE_ON) === "1" && mayShow()) notify(fresh[0]);
    } catch {
      // the browser does not allow pages to play sounds or show notifications
    }
  };
  if (rings) {
    const sound = byId("rings-sound");
    const notice = byId("rings-notice");
    const blocked = () => {
      byId("rings-blocked").hidden = !("Notification" in window && Notification.permission === "denied");
    };
    sound.checked = localStorage.getItem(SOUND_OFF) !== "1";
    notice.checked = localStorage.getItem(NOTICE_ON) === "1" && mayShow();
    sound.addEventListener("change", () => {
      localStorage.setItem(SOUND_OFF, sound.checked ? "0" : "1");
      if (sound.checked) beep();
    });
    notice.addEventListener("change", async () => {
      if (notice.checked && "Notification" in window) await Notification.requestPermission();
      notice.checked = notice.checked && mayShow();
      localStorage.setItem(NOTICE_ON, notice.checked ? "1" : "0");
      blocked();
    });
    blocked();
    rings.hidden = false;
    document.addEventListener("htmx:oobAfterSwap", ring);
    ring();
  }
})();
