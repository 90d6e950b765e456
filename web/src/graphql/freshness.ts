import { ApolloLink, type ApolloClient } from "@apollo/client"
import { OperationTypeNode } from "graphql"
import { finalize } from "rxjs"
import { graphql } from "./generated"

const Refresh = graphql(`
  query Refresh($ids: [ID!]!) {
    nodes(ids: $ids) {
      ... on Conversation {
        id
        ...LiveConversation
      }
    }
  }
`)

/** Whether an operation only asks: what a mutation answers is at least as new as the event that it caused. */
const asks = (type: OperationTypeNode) => type === OperationTypeNode.QUERY

/**
 * Freshness keeps answers that were on their way from undoing what an event has brought meanwhile: the conversations
 * concerned are asked for once more, when the answers are in.
 */
export class Freshness {
  readonly #late = new Set<string>()
  #underway = 0
  #refresh: (ids: string[]) => void = () => undefined

  /** Sees the answers come. */
  readonly link = new ApolloLink((operation, forward) => {
    if (!asks(operation.operationType)) return forward(operation)
    this.#underway++
    return forward(operation).pipe(
      finalize(() => {
        if (--this.#underway > 0 || this.#late.size === 0) return
        const ids = [...this.#late]
        this.#late.clear()
        this.#refresh(ids)
      }),
    )
  })

  /** Asks by a client. What is not answered is asked again with the next event. */
  askBy(client: ApolloClient) {
    this.#refresh = (ids) => {
      client.query({ query: Refresh, variables: { ids }, fetchPolicy: "network-only" }).catch(() => undefined)
    }
  }

  /** An event has changed how the person stands to a conversation. */
  changed(conversationId: string) {
    if (this.#underway > 0) this.#late.add(conversationId)
  }
}
