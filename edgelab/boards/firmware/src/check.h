/* Runs the model on every test input and writes what came out, line by line, each with a checksum. */
#ifndef CHECK_H_
#define CHECK_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The model, as main.cc has it. */
int model_begin(void);                                  /* 0 when it is ready; may be called again */
int model_run(void);                                    /* 0 when it has run */
uint8_t* model_input(int index, size_t* bytes);         /* NULL when there is no such input */
const uint8_t* model_output(int index, size_t* bytes);  /* NULL when there is no such output */
uint32_t model_arena_bytes_used(void);                  /* 0: not known */
uint32_t model_ticks(void);                             /* a clock that may run over */
uint32_t model_ticks_per_second(void);                  /* 0: there is no clock */

/* The serial port, as main.cc has it. */
void write_character(char letter);

/* 0 when every test ran and gave the answer that the bundle knows for it. */
int check_all(void);

#ifdef __cplusplus
}
#endif

#endif /* CHECK_H_ */
