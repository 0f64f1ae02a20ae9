if(COMMAND berth_fuzz)
    berth_fuzz(NAME fuzz_config SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_config.c USES berth_base)
    berth_fuzz(NAME fuzz_text SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_text.c USES berth_base)
endif()
