import { graphql } from "../../graphql/generated"
import { useAct } from "../../graphql/useAct"

const AddParticipants = graphql(`
  mutation AddParticipants($input: AddParticipantsInput!) {
    addParticipants(input: $input) {
      group {
        id
        ...LiveConversation
      }
      outcomes {
        userId
        outcome
      }
      userErrors {
        message
        field
      }
    }
  }
`)

/** Adds people to a group. What became of each is in the answer (S33, E30). */
export function useAddParticipants() {
  return useAct(AddParticipants, (data) => data.addParticipants, { refetch: ["Participants"] })
}
