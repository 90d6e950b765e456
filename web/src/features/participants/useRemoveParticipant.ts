import type { Connection } from "../../graphql/cache"
import { graphql } from "../../graphql/generated"
import { useAct } from "../../graphql/useAct"

const RemoveParticipant = graphql(`
  mutation RemoveParticipant($input: RemoveParticipantInput!) {
    removeParticipant(input: $input) {
      group {
        id
        ...LiveConversation
      }
      userErrors {
        message
        field
      }
    }
  }
`)

/** Removes a participant from a group, and from what is shown of it (S36). */
export function useRemoveParticipant(participantId: string) {
  return useAct(RemoveParticipant, (data) => data.removeParticipant, {
    update(cache, { removeParticipant: { group } }) {
      if (!group) return
      const ref = cache.identify({ __typename: "Participant", id: participantId })
      cache.modify<{ participants: Connection }>({
        id: cache.identify({ __typename: "GroupConversation", id: group.id }) ?? "",
        fields: {
          participants: (existing) => {
            const connection = existing as Connection
            return { ...connection, edges: connection.edges.filter((edge) => edge.node.__ref !== ref) }
          },
        },
      })
    },
  })
}
