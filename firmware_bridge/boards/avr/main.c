#include "app.h"
#include "hal.h"
#include "hal_avr.h"

int main(void) {
    hal_start();
    app_init(hal_now_us());
    for (;;) {
        hal_measure();
        if (app_tick(hal_now_us())) hal_watchdog_feed();
        hal_idle();
    }
}
