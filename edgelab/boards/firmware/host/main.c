/* The tests on a computer, without a chip: outputs come from a file, in place of a model.
 *
 *   gcc -I../src main.c ../src/check.c ../src/model_data.c ../src/test_data.c -o check
 *   ./check outputs.bin 1 > serial.log
 *
 * The arguments: all outputs of all tests, one after another as bytes, and how many runs to write. The inputs
 * that the model would have had go to stderr. */
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "test_data.h"

static uint8_t* inputs[INPUT_COUNT];
static uint8_t* outputs[OUTPUT_COUNT];
static FILE* given;
static uint32_t now = 0xFFFFF000u; /* a clock that soon runs over, as a chip's does */

int model_begin(void) { return given == NULL; }

int model_run(void) {
  int i;
  for (i = 0; i < INPUT_COUNT; i++) fwrite(inputs[i], 1, test_input_bytes[i], stderr);
  for (i = 0; i < OUTPUT_COUNT; i++)
    if (fread(outputs[i], 1, test_output_bytes[i], given) != test_output_bytes[i]) return 1;
  now += 1000u;
  return 0;
}

uint8_t* model_input(int index, size_t* bytes) {
  *bytes = test_input_bytes[index];
  return inputs[index];
}

const uint8_t* model_output(int index, size_t* bytes) {
  *bytes = test_output_bytes[index];
  return outputs[index];
}

uint32_t model_ticks(void) { return now; }
/* A model that does not run takes no arena and no time. */
uint32_t model_arena_bytes_used(void) { return 0; }
uint32_t model_ticks_per_second(void) { return 0; }
void write_character(char letter) { putchar(letter); }

int main(int count, char** arguments) {
  int i, wrong = 0;
  if (count != 3) return 2;
  for (i = 0; i < INPUT_COUNT; i++) inputs[i] = calloc(test_input_bytes[i], 1);
  for (i = 0; i < OUTPUT_COUNT; i++) outputs[i] = calloc(test_output_bytes[i], 1);
  for (i = 0; i < atoi(arguments[2]); i++) {
    given = fopen(arguments[1], "rb");
    wrong += check_all();
    if (given) fclose(given);
  }
  return wrong;
}
