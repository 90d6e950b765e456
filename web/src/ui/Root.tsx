import {
  convertCssVariables,
  createTheme,
  defaultCssVariablesResolver,
  MantineProvider,
  mergeMantineTheme,
  DEFAULT_THEME,
  type MantineColorScheme,
} from "@mantine/core"
import { type ReactNode, useCallback, useMemo, useState } from "react"
import { LayerContext } from "./layer"
import styles from "./styles.css?inline"

const theme = createTheme({
  primaryColor: "blue",
  primaryShade: { light: 8, dark: 8 }, // white on it can be read: 5 to 1
  fontFamily: "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif",
  respectReducedMotion: true,
  cursorType: "pointer",
  components: {
    // What opens is there at once, and gone at once: something on its way out would still have the focus, or take it.
    Modal: { defaultProps: { lockScroll: false, centered: true, transitionProps: { duration: 0 } } },
    Menu: { defaultProps: { transitionProps: { duration: 0 } } },
    Popover: { defaultProps: { transitionProps: { duration: 0 } } },
  },
})

/** One style sheet for everything inside the shadow root: content security policies allow it, and nothing of it leaks. */
export function styleSheet(): CSSStyleSheet {
  const whole = mergeMantineTheme(DEFAULT_THEME, theme)
  const variables = convertCssVariables(defaultCssVariablesResolver(whole), ".corridor")
  const sheet = new CSSStyleSheet()
  sheet.replaceSync(`${variables}\n${styles}`)
  return sheet
}

export interface RootProps {
  /** Light, dark, or as the system has it. */
  colorScheme: MantineColorScheme
  children: ReactNode
}

/** Root is the element inside the shadow root that everything is in, with the layer for what opens above the rest. */
export function Root({ colorScheme, children }: RootProps) {
  const [root, setRoot] = useState<HTMLElement | null>(null)
  const [layer, setLayer] = useState<HTMLElement | null>(null)
  const placed = useMemo(
    () =>
      layer
        ? createTheme({
            ...theme,
            components: {
              ...theme.components,
              Portal: { defaultProps: { target: layer, reuseTargetNode: false } },
            },
          })
        : theme,
    [layer],
  )
  const place = useCallback((element: HTMLDivElement | null) => {
    if (element) fitLetters(element)
    setRoot(element)
  }, [])
  return (
    <div className="corridor" ref={place}>
      {root && (
        <MantineProvider
          theme={placed}
          forceColorScheme={colorScheme === "auto" ? undefined : colorScheme}
          defaultColorScheme="auto"
          getRootElement={() => root}
          cssVariablesSelector=".corridor"
          withCssVariables={false}
          withGlobalClasses={false}
          colorSchemeManager={noManager}
        >
          <LayerContext value={layer}>{layer && children}</LayerContext>
        </MantineProvider>
      )}
      <div className="layer" ref={setLayer} />
    </div>
  )
}

/**
 * Makes letters as large as the person has set them in the browser, whatever the page does to its root: Mantine's sizes
 * are in rem, and have a scale.
 */
function fitLetters(root: HTMLElement) {
  root.style.fontSize = "medium"
  const own = parseFloat(getComputedStyle(root).fontSize)
  root.style.fontSize = ""
  const page = parseFloat(getComputedStyle(document.documentElement).fontSize)
  root.style.setProperty("--mantine-scale", String(own / page))
}

/** The color scheme is the host page's or the system's: nothing is kept in the browser. */
const noManager = {
  get: (byDefault: MantineColorScheme) => byDefault,
  set: () => undefined,
  subscribe: () => undefined,
  unsubscribe: () => undefined,
  clear: () => undefined,
}
