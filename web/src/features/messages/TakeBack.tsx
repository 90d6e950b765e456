import { ActionIcon, Button, Group, Input } from "@mantine/core"
import { useRef, useState } from "react"
import { ActButton } from "../../ui/ActButton"
import { Dialog } from "../../ui/Dialog"
import { UndoIcon } from "../../ui/icons"
import { useRecallMessage } from "./useRecallMessage"

/** The button beside a message of the viewer's that takes it back, after a question (E11). */
export function TakeBack({ messageId }: { messageId: string }) {
  const [isAsking, setIsAsking] = useState(false)
  const [error, setError] = useState<string>()
  const [recall, isBusy] = useRecallMessage()
  const button = useRef<HTMLButtonElement>(null)
  const close = () => setIsAsking(false)
  const takeBack = async () => {
    const { error } = await recall({ messageId })
    if (error) setError(error)
    else close()
  }
  return (
    <>
      <ActionIcon
        ref={button}
        className="take-back"
        variant="subtle"
        color="gray"
        size="sm"
        aria-label="Take back"
        title="Take back"
        onClick={() => {
          setError(undefined)
          setIsAsking(true)
        }}
      >
        <UndoIcon size={16} />
      </ActionIcon>
      <Dialog opened={isAsking} onClose={close} title="Take back this message?" returnTo={button} size="sm">
        <div className="question">
          <p>Its text and files disappear for everybody. They see that there was a message.</p>
          {error && <Input.Error role="alert">{error}</Input.Error>}
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={close} data-autofocus>
              Cancel
            </Button>
            <ActButton color="red" isBusy={isBusy} onClick={() => void takeBack()}>
              Take back
            </ActButton>
          </Group>
        </div>
      </Dialog>
    </>
  )
}
