// The site's search runs in a worker, which browsers refuse to pages opened from a disk. There, a hidden frame does the work.
if (location.protocol === "file:") {
  self.Worker = class extends EventTarget {
    constructor(address) {
      super()
      this.url = new URL(address, location.href).href
      this.waiting = []
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      this.frame.srcdoc = `<script>
        var base = ${JSON.stringify(this.url)}
        function importScripts() {
          return Array.from(arguments).reduce((before, address) => before.then(() => new Promise((done, failed) => {
            var script = document.createElement("script")
            script.src = new URL(address, base); script.onload = done; script.onerror = failed
            document.head.appendChild(script)
          })), Promise.resolve())
        }
        function postMessage(data) { parent.dispatchEvent(new MessageEvent("from-frame", { data: data })) }
      <\/script><script src="${this.url}"><\/script>`
      self.addEventListener("from-frame", event => {
        const message = new MessageEvent("message", { data: event.data })
        this.dispatchEvent(message)
        if (this.onmessage) this.onmessage(message)
      })
      this.frame.addEventListener("load", () => {
        this.ready = true
        this.waiting.forEach(data => this.postMessage(data))
      })
      document.body.appendChild(this.frame)
    }
    postMessage(data) {
      if (!this.ready) return void this.waiting.push(data)
      this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }))
    }
    terminate() { this.frame.remove() }
  }
}
