// What the page does by itself in the browser: language, tones on and off, copying, pictures. Nothing is fetched.
(() => {
  document.documentElement.lang = COUPLET_LANGUAGE;

  // One look, whatever the system prefers: red paper hangs on a light wall.
  const keepLight = () => document.body.classList.contains("dark") && document.body.classList.remove("dark");
  addEventListener("DOMContentLoaded", () => {
    new MutationObserver(keepLight).observe(document.body, { attributes: true, attributeFilter: ["class"] });
    keepLight();
  });

  const showTones = (isShown) => {
    for (const picture of document.querySelectorAll(".couplet-picture")) picture.classList.toggle("with-tones", isShown);
  };

  const pictureOf = (button) => button.closest(".card").querySelector(".couplet-picture");
  const source = (picture) => new XMLSerializer().serializeToString(picture);
  const fileName = (button, ending) => {
    const [upper] = button.closest(".card").querySelector(".lines").innerText.split(/\s*\n\s*/);
    return `${upper.replace(/[\\/:*?"<>|\s]/g, "")}.${ending}`;
  };

  const save = (blob, name) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };

  const saveSvg = (button) =>
    save(new Blob([source(pictureOf(button))], { type: "image/svg+xml" }), fileName(button, "svg"));

  // The browser draws the SVG with the fonts it has, twice as large as it is, so that it can be printed.
  const savePng = (button) => {
    const picture = pictureOf(button);
    const { width, height } = picture.viewBox.baseVal;
    const image = new Image();
    image.onload = () => {
      const canvas = document.createElement("canvas");
      canvas.width = 2 * width;
      canvas.height = 2 * height;
      const context = canvas.getContext("2d");
      context.fillStyle = "#fbf6ec";
      context.fillRect(0, 0, canvas.width, canvas.height);
      context.drawImage(image, 0, 0, canvas.width, canvas.height);
      canvas.toBlob((blob) => save(blob, fileName(button, "png")), "image/png");
    };
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(source(picture))}`;
  };

  // Where the page is no secure context (another machine's, without TLS) the clipboard is only reached the old way.
  const copy = async (button) => {
    const text = button.dataset.text;
    if (navigator.clipboard) await navigator.clipboard.writeText(text);
    else {
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
      button.focus();
    }
    const label = button.textContent;
    button.textContent = button.dataset.done;
    setTimeout(() => (button.textContent = label), 1500);
  };

  const actions = { copy, png: savePng, svg: saveSvg };
  addEventListener("click", (event) => {
    const button = event.target.closest("button[data-couplet]");
    if (button) actions[button.dataset.couplet](button);
    // The line that has been typed comes along into the other language.
    const link = event.target.closest("a.language");
    const typed = document.querySelector("#upper input, #upper textarea");
    if (link && typed && typed.value) link.search = new URLSearchParams({ upper: typed.value });
  });
  addEventListener("change", (event) => event.target.dataset.couplet === "tones" && showTones(event.target.checked));
})();
