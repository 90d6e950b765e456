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
 * Freshness keeps answers that were on their way from undoing what an event has brought meanwhile: behind each of those
 * answers the conversations concerned are asked for once more. None waits for another answer, which may be long in coming.
 */
export class Freshness {
  /** What has changed since each of the questions that are not answered yet was asked. */
  readonly #underway = new Set<Set<string>>()
  #refresh: (ids: string[]) => void = () => undefined

  /** Sees the answers come. */
  readonly link = new ApolloLink((operation, forward) => {
    if (!asks(operation.operationType)) return forward(operation)
    const changed = new Set<string>()
    this.#underway.add(changed)
    return forward(operation).pipe(
      finalize(() => {
        this.#underway.delete(changed)
        if (changed.size > 0) this.#refresh([...changed])
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
    for (const changed of this.#underway) changed.add(conversationId)
  }
}
