import { once } from "node:events"
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net"

/** A TCP proxy in front of a server. Cutting it cuts what is open, WebSockets too, as a dead network does. */
export class Proxy {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #isCut = false
  #passed = 0
  #cutAfter = Infinity

  private constructor(private target: () => string) {
    this.#server = createServer((client) => this.#carry(client))
  }

  static async to(target: () => string): Promise<Proxy> {
    const proxy = new Proxy(target)
    proxy.#server.listen(0, "127.0.0.1")
    await once(proxy.#server, "listening")
    return proxy
  }

  get url(): string {
    return `http://127.0.0.1:${String((this.#server.address() as AddressInfo).port)}`
  }

  /** From now on nothing goes through. */
  cut() {
    this.#isCut = true
    this.#cutAfter = Infinity
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Cuts when that many bytes more have gone to the server. */
  cutAfter(bytes: number) {
    this.#passed = 0
    this.#cutAfter = bytes
  }

  mend() {
    this.#isCut = false
  }

  get isCut(): boolean {
    return this.#isCut
  }

  /** From now on connections go to another server. Those that are open are cut. */
  turnTo(target: () => string) {
    this.target = target
    for (const socket of this.#sockets) socket.destroy()
  }

  close() {
    this.cut()
    this.#server.close()
  }

  #carry(client: Socket) {
    if (this.#isCut) {
      client.destroy()
      return
    }
    const { hostname, port } = new URL(this.target())
    const server = connect(Number(port), hostname)
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(one)
      one.on("error", () => other.destroy())
      one.on("close", () => {
        this.#sockets.delete(one)
        other.destroy()
      })
    }
    client.on("data", (bytes) => {
      this.#passed += bytes.length
      if (this.#passed > this.#cutAfter) this.cut()
    })
    client.pipe(server)
    server.pipe(client)
  }
}
