import { graphql } from "../../graphql/generated"
import { useAct } from "../../graphql/useAct"

const StartDirectConversation = graphql(`
  mutation StartDirectConversation($input: StartDirectConversationInput!) {
    startDirectConversation(input: $input) {
      conversation {
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

/** Opens the one conversation with a person, or begins it. An archived one comes back (S20, S21, S48). */
export function useStartDirectConversation() {
  return useAct(StartDirectConversation, (data) => data.startDirectConversation, { isRepeatable: true })
}
