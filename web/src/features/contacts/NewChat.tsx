import { type RefObject, useState } from "react"
import { Dialog } from "../../ui/Dialog"
import { texts } from "../../ui/texts"
import { ChatTargetPicker } from "./ChatTargetPicker"
import { NewGroup } from "./NewGroup"

export interface NewChatProps {
  opened: boolean
  onClose: () => void
  onOpen: (conversationId: string) => void
  /** What gets the focus when it is closed, if not what had it before. */
  returnTo?: RefObject<HTMLElement | null>
}

/** Finds a person or a group to chat with (S14-S22), or makes a new group (E1). */
export function NewChat({ opened, onClose, onOpen, returnTo }: NewChatProps) {
  return (
    <Dialog opened={opened} onClose={onClose} title={texts.newChat} withCloseButton {...(returnTo && { returnTo })}>
      <Ways onOpen={onOpen} />
    </Dialog>
  )
}

/** Begins with the search each time the dialog opens. */
function Ways({ onOpen }: Pick<NewChatProps, "onOpen">) {
  const [isGroup, setIsGroup] = useState(false)
  if (isGroup) return <NewGroup onOpen={onOpen} onBack={() => setIsGroup(false)} />
  return <ChatTargetPicker onOpen={onOpen} onNewGroup={() => setIsGroup(true)} />
}
