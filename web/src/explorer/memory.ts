import type { Storage } from "@graphiql/toolkit"

/** What GraphiQL would keep in the browser (tabs, sizes), in memory: it is gone with the page. */
export class Memory implements Storage {
  readonly #items = new Map<string, string>()

  get length() {
    return this.#items.size
  }

  getItem(key: string) {
    return this.#items.get(key) ?? null
  }

  setItem(key: string, value: string) {
    this.#items.set(key, value)
  }

  removeItem(key: string) {
    this.#items.delete(key)
  }

  clear() {
    this.#items.clear()
  }
}
