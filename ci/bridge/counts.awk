# What the operations of counts.c brought over the bridge, by its trace. Ends with 1 where that is not what it should be.

# The number that is written as 0x1f; not every awk knows such ones.
function number(text,    value, at) {
    for (at = 3; at <= length(text); at++) value = value * 16 + index("123456789abcdef", substr(text, at, 1))
    return value
}
function is_in_memory(place) { return place >= memory && place < memory + 2097152 }

$2 != "b" { next }
# A mark: the only stores of one byte.
$3 == "store" && $5 == 1 {
    place = number($4)
    if (!marks++) memory = place - 2097151
    else if (place != memory + 2097151) wrong = wrong "a store of one byte that is no mark; "
    next
}
!marks { next }
$3 == "store" && is_in_memory(number($4)) { stores[marks]++; bytes[marks] += $5; width[marks, $5]++ }
$3 == "load" {
    place = number($4)
    if (is_in_memory(place)) gets[marks] += 1
    else of[marks, place]++
    places[place] = 1
}
$3 == "doorbell" { doorbells[marks]++ }

function expect(what, is, wanted) {
    if (is != wanted) wrong = wrong what ": " is + 0 ", not " wanted "; "
}
function within(what, is, least, most) {
    if (is < least || is > most) wrong = wrong what ": " is + 0 ", not " least " to " most "; "
}
END {
    if (marks != 6) {
        print "there are " marks + 0 " marks, not 6"
        exit 1
    }
    # What a verdict loads: one word, all the time. Other words are what agents load of each other.
    for (place in places) if (of[1, place] > of[1, seal]) seal = place
    # With each mark goes a verdict of its own.
    for (i = 1; i <= 5; i++) verdicts[i] = of[i, seal] - 1
    printf "1000 puts of 8 bytes: %d stores of 8 bytes, %d loads for verdicts, %d of the memory\n", width[1, 8], verdicts[1], gets[1]
    printf "a put of 1 MiB: %d stores of 8 bytes of %d, %d loads for verdicts, %d of the memory\n", width[2, 8], stores[2], verdicts[2], gets[2]
    printf "a span of 64 puts: %d stores, %d loads for verdicts, %d of the memory\n", stores[3], verdicts[3], gets[3]
    printf "100 signals: %d doorbells\n", doorbells[4]
    printf "a get of 4 KiB: %d loads of the memory, %d for verdicts\n", gets[5], verdicts[5]
    expect("stores of puts", width[1, 8], 1000)
    expect("all stores of puts", stores[1], 1000)
    expect("loads for their verdicts", verdicts[1], 1000)
    expect("loads of the memory put to", gets[1] + gets[2] + gets[3], 0)
    # A copy goes over its last stretch, of 64 bytes at most, once more where its length is no multiple of its steps.
    within("stores of a put of 1 MiB", stores[2], 131072, 131072 + 8 * 16)
    expect("those of 8 bytes", width[2, 8], stores[2])
    expect("loads for its verdict", verdicts[2], 1)
    expect("loads for the verdict of a span", verdicts[3], 1)
    expect("loads of a get", gets[5], 512)
    # Whoever has not looked yet is told once, by the agent, which may come to that only after the next mark.
    within("doorbells of signals", doorbells[4] + 0, 0, 100)
    if (wrong != "") {
        print "wrong: " wrong
        exit 1
    }
}
