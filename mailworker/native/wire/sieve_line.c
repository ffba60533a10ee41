/*
 * Watches the commands of a ManageSieve client after login (RFC 5804), so that it stays the same user: UNAUTHENTICATE
 * would let it log in as another user, which only the backend would know, and STARTTLS would hide its commands from us.
 * Neither command is passed on whole; scripts and names may hold both words.
 *
 * Servers differ in what they take for a string. Cyrus reads no literal of a command that it does not know, or that has
 * an error before it: it takes the literal's bytes for commands. So a literal is accepted only where RFC 5804 has one,
 * in a valid command, and a quoted string only if it is closed on its line; all else is refused. Lines that are no
 * command of RFC 5804 are passed on if they hold neither word, and no literal. wire/sieve_line.py has it in Python.
 */

#include "sieve_line.h"

#include <string.h>

enum state {
    LINE_START,
    LINE_WORD, /* of the command */
    LINE_SPACE, /* where an argument begins */
    LINE_ATOM,
    LINE_STRING_END,
    LINE_CR,
    LINE_WILD, /* a line that is no command of RFC 5804 */
    LINE_WILD_QUOTED,
    LINE_WILD_ESCAPED,
    LINE_QUOTED, /* from here on, the two words are allowed */
    LINE_ESCAPED, /* after a backslash */
    LINE_SIZE, /* digits of a literal */
    LINE_PLUS,
    LINE_BRACE, /* after "}", then CR */
    LINE_SIZE_CR,
    LINE_NAME, /* a literal that is no script */
    LINE_SCRIPT
};

#define STRING_LIMIT 1024
#define SIZE_LIMIT 0xffffffffU
#define SIZE_DIGITS 10

/* Stands in place of an argument's number, after an argument that is no string. */
#define NO_LITERAL 7

/* How many arguments of a command may be literals, and which of them, the last, is a script; 0 for none. */
static const struct command {
    const char *word;
    unsigned char literals;
    unsigned char script;
} commands[] = {
    {"AUTHENTICATE", 0, 0}, {"CAPABILITY", 0, 0}, {"CHECKSCRIPT", 1, 1},  {"DELETESCRIPT", 1, 0},
    {"GETSCRIPT", 1, 0},    {"HAVESPACE", 1, 0},  {"LISTSCRIPTS", 0, 0},  {"LOGOUT", 0, 0},
    {"NOOP", 1, 0},         {"PUTSCRIPT", 2, 2},  {"RENAMESCRIPT", 2, 0}, {"SETACTIVE", 1, 0},
};

#define COMMANDS (sizeof commands / sizeof *commands)

_Static_assert(sizeof(struct line) == 12 && COMMANDS == 12, "the fields of a line are as small as can be");

static const char unauthenticate[] = "UNAUTHENTICATE", starttls[] = "STARTTLS";

static unsigned char upper(unsigned char byte)
{
    return byte >= 'a' && byte <= 'z' ? (unsigned char) (byte - 'a' + 'A') : byte;
}

/* NUL is no letter, though it ends the words. */
static int is_next(const char *word, unsigned char letters, unsigned char byte)
{
    return byte != '\0' && upper(byte) == (unsigned char) word[letters];
}

/* How many letters of `word` were read last, where `byte` comes after `letters` of them. */
static unsigned char read_on(const char *word, unsigned char letters, unsigned char byte)
{
    unsigned char fewer;

    if (is_next(word, letters, byte)) {
        return (unsigned char) (letters + 1);
    }
    for (fewer = letters; fewer > 0;) {
        fewer--;
        if (is_next(word, fewer, byte) && memcmp(word, word + letters - fewer, fewer) == 0) {
            return (unsigned char) (fewer + 1);
        }
    }
    return 0;
}

/* Reads a byte that is not in a string; gives whether it completes one of the words. */
static int is_forbidden(struct line *line, unsigned char byte)
{
    line->unauthenticate = read_on(unauthenticate, line->unauthenticate, byte);
    line->starttls = read_on(starttls, line->starttls, byte);
    return line->unauthenticate == sizeof unauthenticate - 1 || line->starttls == sizeof starttls - 1;
}

/* Reads a byte of a string; gives whether the string is valid UTF-8 (RFC 3629) so far. */
static int is_utf8(struct line *line, unsigned char byte)
{
    int valid;

    if (line->due > 0) {
        valid = byte >= line->least && byte <= line->most;
        line->due--;
    } else {
        valid = byte < 0x80 || (byte >= 0xc2 && byte <= 0xf4);
        line->due = byte < 0xc0 ? 0 : byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    }
    line->least = line->most = 0;
    if (line->due > 0) {
        line->least = byte == 0xe0 ? 0xa0 : byte == 0xf0 ? 0x90 : 0x80;
        line->most = byte == 0xed ? 0x9f : byte == 0xf4 ? 0x8f : 0xbf;
    }
    return valid;
}

static int is_atom(unsigned char byte)
{
    return byte > ' ' && byte < 0x7f && strchr("(){\"\\", byte) == NULL;
}

static int ends_line(unsigned char byte)
{
    return byte == '\0' || byte == '\r' || byte == '\n';
}

/* The state after a byte of a quoted string that is no string of RFC 5804. */
static unsigned char after_wild(unsigned char byte)
{
    return byte == '"' ? LINE_WILD : byte == '\\' ? LINE_WILD_ESCAPED : LINE_WILD_QUOTED;
}

static void begin_string(struct line *line, enum state state)
{
    line->state = (unsigned char) state;
    line->due = 0;
    line->count = 0;
}

/* The next functions read a byte in a state, and give 0 where it is refused. */

static int begin(struct line *line)
{
    line->state = LINE_START;
    line->letters = line->argument = line->unauthenticate = line->starttls = line->wary = 0;
    return 1;
}

static int go_wild(struct line *line, unsigned char byte)
{
    line->state = LINE_WILD;
    switch (byte) {
    case '"':
        line->state = LINE_WILD_QUOTED;
        return 1;
    case '\r':
        line->state = LINE_CR;
        return 1;
    case '\n':
        return begin(line);
    default:
        return byte != '{';
    }
}

/* After a word, an atom or a string. */
static int go_on(struct line *line, unsigned char byte)
{
    if (byte != ' ') {
        return go_wild(line, byte);
    }
    line->state = LINE_SPACE;
    if (line->argument < NO_LITERAL) {
        line->argument++;
    }
    return 1;
}

static int read_word(struct line *line, unsigned char byte)
{
    unsigned short alive = 0;
    size_t i;

    if (line->letters == 0) {
        line->alive = (1 << COMMANDS) - 1;
    }
    for (i = 0; i < COMMANDS; i++) {
        if ((line->alive >> i & 1) && is_next(commands[i].word, line->letters, byte)) {
            alive |= (unsigned short) (1 << i);
        }
    }
    if (alive != 0) {
        line->state = LINE_WORD;
        line->alive = alive;
        line->letters++;
        return 1;
    }
    for (i = 0; i < COMMANDS; i++) {
        if ((line->alive >> i & 1) && line->letters > 0 && commands[i].word[line->letters] == '\0') {
            line->alive = (unsigned short) i;
            return go_on(line, byte);
        }
    }
    return go_wild(line, byte);
}

static int read_argument(struct line *line, unsigned char byte)
{
    if (byte == '"') {
        begin_string(line, LINE_QUOTED);
        return 1;
    }
    if (byte == '{') {
        begin_string(line, LINE_SIZE);
        line->digits = 0;
        return line->argument <= commands[line->alive].literals;
    }
    if (!is_atom(byte)) {
        return go_wild(line, byte);
    }
    line->state = LINE_ATOM;
    line->argument = NO_LITERAL;
    return 1;
}

/*
 * Servers that accept only ASCII, as Cyrus does, take what comes after another byte, or an error, for commands. So the
 * words are searched for from there on.
 */
static int read_quoted(struct line *line, unsigned char byte)
{
    int forbidden = is_forbidden(line, byte);

    if (byte == '"' && line->due == 0) {
        line->state = LINE_STRING_END;
    } else if (byte == '\\' && line->due == 0) {
        line->state = LINE_ESCAPED;
    } else if (!is_utf8(line, byte) || line->count == STRING_LIMIT) {
        line->state = after_wild(byte);
    }
    line->wary |= byte >= 0x80;
    line->count++;
    return !ends_line(byte) && !(forbidden && line->wary);
}

static int read_escaped(struct line *line, unsigned char byte)
{
    is_forbidden(line, byte);
    line->state = byte == '"' || byte == '\\' ? LINE_QUOTED : LINE_WILD_QUOTED;
    return !ends_line(byte);
}

static int read_size(struct line *line, unsigned char byte)
{
    if (byte == '+' && line->digits > 0) {
        line->state = LINE_PLUS;
        return 1;
    }
    if (byte < '0' || byte > '9' || line->digits == SIZE_DIGITS || (line->digits > 0 && line->count == 0)) {
        return 0;
    }
    line->digits++;
    if (line->count > (SIZE_LIMIT - (unsigned int) (byte - '0')) / 10) {
        return 0;
    }
    line->count = line->count * 10 + (unsigned int) (byte - '0');
    return 1;
}

static int begin_literal(struct line *line, unsigned char byte)
{
    int script = line->argument == commands[line->alive].script;

    line->state = line->count == 0 ? LINE_STRING_END : script ? LINE_SCRIPT : LINE_NAME;
    return byte == '\n' && (script || line->count <= STRING_LIMIT);
}

/* Bytes of a literal were read. */
static void skip(struct line *line, size_t some)
{
    line->count -= (unsigned int) some;
    if (line->count == 0) {
        line->state = LINE_STRING_END;
    }
}

static int expect(struct line *line, unsigned char byte, unsigned char wanted, enum state next)
{
    line->state = (unsigned char) next;
    return byte == wanted;
}

static int read_name(struct line *line, unsigned char byte)
{
    if (byte == '\0' || !is_utf8(line, byte)) {
        return 0;
    }
    skip(line, 1);
    return line->count > 0 || line->due == 0;
}

/* Reads a byte of a script that a server may take for commands: it must hold neither word, nor a possible literal. */
static int read_script(struct line *line, unsigned char byte)
{
    if (is_forbidden(line, byte) || (line->due && byte == '}')) {
        return 0;
    }
    line->due = byte == '+';
    skip(line, 1);
    return 1;
}

static int read_wild_quoted(struct line *line, unsigned char byte, int escaped)
{
    line->state = escaped ? LINE_WILD_QUOTED : after_wild(byte);
    return !ends_line(byte);
}

static int read_byte(struct line *line, unsigned char byte)
{
    if (line->state == LINE_CR && begin(line) && byte == '\n') {
        return 1;
    }
    if (line->state < LINE_QUOTED && is_forbidden(line, byte)) {
        return 0;
    }
    switch (line->state) {
    case LINE_START:
    case LINE_WORD:
        return read_word(line, byte);
    case LINE_SPACE:
        return read_argument(line, byte);
    case LINE_ATOM:
        return is_atom(byte) || go_on(line, byte);
    case LINE_STRING_END:
        return go_on(line, byte);
    case LINE_WILD_QUOTED:
    case LINE_WILD_ESCAPED:
        return read_wild_quoted(line, byte, line->state == LINE_WILD_ESCAPED);
    case LINE_QUOTED:
        return read_quoted(line, byte);
    case LINE_ESCAPED:
        return read_escaped(line, byte);
    case LINE_SIZE:
        return read_size(line, byte);
    case LINE_PLUS:
        return expect(line, byte, '}', LINE_BRACE);
    case LINE_BRACE:
        return expect(line, byte, '\r', LINE_SIZE_CR);
    case LINE_SIZE_CR:
        return begin_literal(line, byte);
    case LINE_NAME:
        return read_name(line, byte);
    case LINE_SCRIPT:
        return read_script(line, byte);
    default:
        return go_wild(line, byte);
    }
}

int line_refuses(struct line *line, const char *data, size_t length)
{
    size_t i;

    for (i = 0; i < length; i++) {
        if (line->state == LINE_SCRIPT && !line->wary) {
            size_t some = length - i < line->count ? length - i : line->count;

            i += some - 1;
            skip(line, some);
        } else if (!read_byte(line, (unsigned char) data[i])) {
            return 1;
        }
    }
    return 0;
}
