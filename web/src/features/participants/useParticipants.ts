import { useQuery } from "@apollo/client/react"
import { useEffect, useState } from "react"
import { graphql } from "../../graphql/generated"

const Participants = graphql(`
  query Participants($id: ID!, $first: Int!, $after: Cursor) {
    node(id: $id) {
      __typename
      id
      ... on GroupConversation {
        participants(first: $first, after: $after) {
          edges {
            node {
              id
              ...ParticipantRow
            }
          }
          pageInfo {
            hasNextPage
            hasPreviousPage
            startCursor
            endCursor
          }
        }
      }
    }
  }
`)

const page = 100

/** Who is in a group. When it is asked for again, as many pages as were shown come back. */
export function useParticipants(id: string) {
  const { data, error, loading, fetchMore, refetch } = useQuery(Participants, { variables: { id, first: page } })
  const [wanted, setWanted] = useState(page)
  const connection = data?.node?.__typename === "GroupConversation" ? data.node.participants : undefined
  const shown = connection?.edges.length ?? 0
  const after = connection?.pageInfo.hasNextPage ? connection.pageInfo.endCursor : null
  useEffect(() => {
    // What fails to come is asked for again by its button.
    if (after && shown > 0 && shown < wanted && !loading)
      fetchMore({ variables: { after } }).catch(() => setWanted(shown))
  }, [after, shown, wanted, loading, fetchMore])
  return {
    participants: connection?.edges.map((edge) => edge.node),
    error,
    refetch,
    more: after === null ? undefined : () => setWanted(shown + page),
  }
}
