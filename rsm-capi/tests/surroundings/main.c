/* Runs the story that it is told. */
#include "surroundings.h"

int main(int count, char **words)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    MUST(count == 2);
    if (strcmp(words[1], "cancel") == 0)
        cancelled_threads();
    else if (strcmp(words[1], "slow") == 0)
        cancelled_transfers();
    else if (strcmp(words[1], "descriptors") == 0)
        changed_descriptors();
    else if (strcmp(words[1], "stopped") == 0)
        stopped_parent();
    else
        return 2;
    puts("end");
    return 0;
}
