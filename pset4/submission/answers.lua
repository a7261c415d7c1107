-- What pandoc makes of a student's answer, and what no answer may do to the report: no Typst of its own,
-- no file but the pictures that were given, no line that runs off the page.

local pictures = pandoc.json.decode(os.getenv("PSET4_PICTURES") or "{}", false)
local RUN = 30 -- signs without a break; after so many a line may end

local function quoted(text)
  return '"' .. text:gsub('[\\"]', '\\%0') .. '"'
end

local function breakable(text)
  local signs, run = {}, 0
  for _, code in utf8.codes(text, true) do
    local sign = utf8.char(code)
    run = sign:match("%s") and 0 or run + 1
    signs[#signs + 1] = sign
    if run == RUN then
      signs[#signs + 1] = utf8.char(0x200B)
      run = 0
    end
  end
  return table.concat(signs)
end

local function typst(text)
  return pandoc.RawInline("typst", text)
end

local function source(text)
  return typst("#raw(" .. quoted(breakable(text)) .. ")")
end

local function picture(address, words)
  local found = pictures[address]
  if not found then
    return { pandoc.Str("[picture that is not in the notebook: "), source(address), pandoc.Str("]") }
  end
  return typst(string.format("#box(image(%s, width: %.1fpt, alt: %s))", quoted(found.file), found.width, quoted(words)))
end

local function html(text)
  local address = text:match("^<img[^>]-%ssrc=[\"']([^\"']+)[\"']")
  if address then
    return picture(address, "")
  end
  return text:match("^<br%s*/?>$") and pandoc.LineBreak() or pandoc.Str(breakable(text))
end

return {
  {
    Image = function(image)
      return picture(image.src, pandoc.utils.stringify(image.caption))
    end,
    RawInline = function(raw)
      return html(raw.text)
    end,
    RawBlock = function(raw)
      local inlines = html((raw.text:gsub("%s+$", "")))
      return pandoc.Para(pandoc.utils.type(inlines) == "Inline" and { inlines } or inlines)
    end,
  },
  {
    Str = function(str)
      return #str.text > RUN and pandoc.Str(breakable(str.text)) or nil
    end,
    Code = function(code)
      return source(code.text)
    end,
    CodeBlock = function(code)
      local language = code.classes[1] and ", lang: " .. quoted(code.classes[1]) or ""
      return pandoc.RawBlock("typst", "#raw(block: true" .. language .. ", " .. quoted(breakable(code.text)) .. ")")
    end,
    Header = function(header)
      return pandoc.Para({ pandoc.Strong(header.content) })
    end,
    HorizontalRule = function()
      return pandoc.RawBlock("typst", "#line(length: 100%, stroke: 0.5pt + gray)")
    end,
    Link = function(link)
      -- An address may be followed on the web only.
      return link.target:match("^https?://") and link or pandoc.Span(link.content)
    end,
    Math = function(math)
      local written = pandoc.write(pandoc.Pandoc({ pandoc.Plain({ math }) }), "typst")
      if #math.text > 3000 or not written:match("^%$") then
        return source(math.text)
      end
      return typst((written:gsub("%s+$", "")))
    end,
  },
}
