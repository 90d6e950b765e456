/** What the host page asks the chat to open: the id of a conversation, or See All Chats. */
export type Request = string

/** Requests of the host page. What it asks before the chat is there is done when it is. */
export class Requests {
  #waiting: Request[] = []
  #answer: ((request: Request) => void) | undefined

  ask(request: Request) {
    if (this.#answer) this.#answer(request)
    else this.#waiting.push(request)
  }

  /** Answers what was asked, and what will be, until the returned function is called. */
  answer(answer: (request: Request) => void) {
    this.#answer = answer
    for (const request of this.#waiting.splice(0)) answer(request)
    return () => {
      this.#answer = undefined
    }
  }
}
