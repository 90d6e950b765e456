import type { ApolloClient } from "@apollo/client"
import { useApolloClient } from "@apollo/client/react"
import { useEffect, useState } from "react"
import { graphql } from "../../graphql/generated"

const OtherParticipants = graphql(`
  query OtherParticipants($id: ID!, $after: Cursor) {
    node(id: $id) {
      __typename
      ... on GroupConversation {
        participants(first: 100, after: $after) {
          nodes {
            user {
              id
              name
              roleLabel
              isViewer
            }
          }
          pageInfo {
            hasNextPage
            endCursor
          }
        }
      }
    }
  }
`)

/** Somebody to whom a group can be handed over. */
export interface OtherParticipant {
  id: string
  name: string
  roleLabel: string
}

/** All others in a group, who joined first coming first. Undefined until they are known. */
export function useOtherParticipants(id: string, isWanted = true) {
  const client = useApolloClient()
  const [others, setOthers] = useState<OtherParticipant[]>()
  useEffect(() => {
    if (!isWanted) return
    let isOver = false
    const read = async () => {
      const all: OtherParticipant[] = []
      for (let page = await onePage(client, id); page; page = await onePage(client, id, page.pageInfo.endCursor)) {
        all.push(...page.nodes.map(({ user }) => user).filter((user) => !user.isViewer))
        if (!page.pageInfo.hasNextPage) break
      }
      if (!isOver) setOthers(all)
    }
    read().catch(() => undefined) // without them the group goes to who has been in it longest
    return () => {
      isOver = true
    }
  }, [client, id, isWanted])
  return others
}

/** A page of participants, past the cache: that keeps the list which the section of participants shows. */
async function onePage(client: ApolloClient, id: string, after: string | null = null) {
  const { data } = await client.query({ query: OtherParticipants, variables: { id, after }, fetchPolicy: "no-cache" })
  return data?.node?.__typename === "GroupConversation" ? data.node.participants : undefined
}
