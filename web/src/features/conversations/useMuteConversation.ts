import { graphql } from "../../graphql/generated"
import { useAct } from "../../graphql/useAct"

const MuteConversation = graphql(`
  mutation MuteConversation($input: MuteConversationInput!) {
    muteConversation(input: $input) {
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

/** Silences a conversation for the person, at once and for themselves alone (S40-S45). */
export function useMuteConversation() {
  return useAct(MuteConversation, (data) => data.muteConversation, { isRepeatable: true })
}
