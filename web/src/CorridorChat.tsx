import type { MantineColorScheme } from "@mantine/core"
import { createElement } from "react"
import { createRoot, type Root } from "react-dom/client"
import { Chat, type UnreadCounts } from "./app/Chat"
import { Requests } from "./app/requests"
import { Session, type TokenSource } from "./graphql/session"
import { styleSheet } from "./ui/Root"

/**
 * `<corridor-chat>` is the chat as a part of a host page (S1): the person's name with the chat bubble, and whatever opens from it. What
 * it looks like is walled off from the page in both directions.
 *
 * The page sets `token`, a function that gives a bearer token for whoever is signed in there. It is called again whenever the last token
 * is over; the token is kept in memory and nowhere else.
 *
 * Attributes: `endpoint`, the address of the API, by default `/graphql` where this module was loaded from;
 * `color-scheme`, `light`, `dark` or `auto`, which is the default and follows the system; `hide-name`, when the page shows the
 * name itself.
 *
 * Events: `unreadchange`, whose `detail` has the unread `conversations` and `messages`.
 */
export class CorridorChat extends HTMLElement {
  static readonly observedAttributes = ["endpoint", "color-scheme", "hide-name"]

  #token: TokenSource | undefined
  #session: Session | undefined
  /** Counts the people who were signed in here: nothing of one is left when another comes. */
  #person = 0
  #root: Root | undefined
  readonly #requests = new Requests()

  constructor() {
    super()
    const shadow = this.attachShadow({ mode: "open" })
    shadow.adoptedStyleSheets = [styleSheet()]
  }

  connectedCallback() {
    this.#adoptEarlyToken()
    this.#root ??= createRoot(this.shadowRoot as ShadowRoot)
    this.#render()
  }

  disconnectedCallback() {
    // Moved to another place in the page it is connected again at once, and goes on.
    queueMicrotask(() => {
      if (this.isConnected) return
      this.#root?.unmount()
      this.#root = undefined
      this.#onUnread({ conversations: 0, messages: 0 })
    })
  }

  attributeChangedCallback(name: string) {
    if (name === "endpoint") this.#session = undefined
    this.#render()
  }

  /** Gives a bearer token for the person who is signed in at the host page. */
  get token(): TokenSource | undefined {
    return this.#token
  }

  set token(source: TokenSource | undefined) {
    this.#token = source
    if (source && this.#session) this.#session.replaceSource(source)
    else this.#session = undefined
    this.#render()
  }

  /** Opens a conversation by its id. */
  open(conversationId: string) {
    this.#requests.ask(conversationId)
  }

  /** Opens See All Chats. */
  openAllChats() {
    this.#requests.ask("all chats")
  }

  #render() {
    if (!this.#root) return
    if (!this.#token) {
      this.#root.render(null)
      this.#onUnread({ conversations: 0, messages: 0 })
      return
    }
    const endpoint = new URL(
      this.getAttribute("endpoint") ?? new URL("/graphql", /* @vite-ignore */ import.meta.url),
      document.baseURI,
    )
    if (!this.#session) {
      const session = new Session(endpoint, this.#token, () => {
        if (this.#session !== session) return
        this.#session = undefined
        this.#render()
      })
      this.#session = session
      this.#person++
    }
    this.#root.render(
      createElement(Chat, {
        key: this.#person,
        session: this.#session,
        colorScheme: colorScheme(this.getAttribute("color-scheme")),
        showsName: !this.hasAttribute("hide-name"),
        requests: this.#requests,
        onUnread: this.#onUnread,
      }),
    )
  }

  readonly #onUnread = (detail: UnreadCounts) => {
    this.dispatchEvent(new CustomEvent("unreadchange", { detail }))
  }

  /** Takes over what the page set before this was defined. */
  #adoptEarlyToken() {
    if (!Object.hasOwn(this, "token")) return
    const early = this.token
    Reflect.deleteProperty(this, "token")
    this.token = early
  }
}

function colorScheme(attribute: string | null): MantineColorScheme {
  return attribute === "light" || attribute === "dark" ? attribute : "auto"
}
