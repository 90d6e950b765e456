/** What people have begun to write and not sent, in memory: closing a chat box loses nothing. */
export class Drafts {
  readonly #texts = new Map<string, string>()

  get(conversationId: string) {
    return this.#texts.get(conversationId) ?? ""
  }

  set(conversationId: string, text: string) {
    if (text) this.#texts.set(conversationId, text)
    else this.#texts.delete(conversationId)
  }
}
