foreach(subject restart children state_dir)
    berth_test(NAME test_${subject} LABEL unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_${subject}.c USES berth_supervisor)
endforeach()
berth_test(NAME test_settings LABEL unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_settings.c USES berth_settings)
